//! The harness: cases, subjects and the table, shared by `ratios` and by the peers.
//!
//! Promise: every subject plays the same case in the same process, in turns, and a result that
//! breaks its own check (more objects open than allowed) ends the run.
//! Cost: two clock reads on one acquire of eight where waits are measured; elsewhere none per cycle.

mod case;
mod command;
mod floors;
mod play;
mod subject;
mod table;

pub use case::{CASES, Case, Shape};
pub use command::{Bar, Measure, run};
pub use floors::{LockedPair, MutexVec, QueuePair, SemaphoreQueue};
pub use play::{Outcome, play};
pub use subject::{Entry, Subject, entry};
