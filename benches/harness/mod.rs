//! The harness: cases, subjects and the table, shared by `ratios`, the peers and the suite.
//!
//! Promise: every subject plays the same case in the same process, in turns, and a result that
//! breaks its own check (more objects open than allowed, one lost) counts for nothing. Ratios of crowds are
//! taken between blocks during which the cores were equally far apart.
//! Cost: two clock reads on one acquire of eight where waits are measured; elsewhere none per cycle.

#[macro_use]
mod say;

mod arrivals;
mod burst;
mod case;
mod command;
mod count;
mod distance;
mod floors;
mod kept_off;
mod opening;
mod outcome;
mod pin;
mod place;
mod play;
mod played;
mod rounds;
mod subject;
mod table;
mod task;
mod valgrind;

pub use case::{CASES, Case, Shape};
pub use command::{Bar, Measure, judge, run};
pub use count::{count, count_hand_offs};
pub use distance::{Distance, Side, throw};
pub use floors::{LockedPair, MutexVec, QueuePair, SemaphoreQueue};
pub use opening::opening;
pub use outcome::{Outcome, Tally};
pub use place::{Place, said};
pub use play::{fill, play};
pub use played::{Group, Played, Row, counted};
pub use rounds::rounds;
pub use subject::{Build, Entry, Subject, entry};
pub use table::{median, median_of, print, ratio, speed_ratio};
pub use valgrind::{Reading, Tool, has_valgrind, under_valgrind};
