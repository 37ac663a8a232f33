//! What the stories are told with: gates, the units they act on, a paused runtime, a watchdog.

mod fragile;
mod gates;
mod plain;
mod theatre;
mod time;
mod watchdog;

pub use fragile::{BackEnd, Fragile, fill};
pub use gates::{Closing, Gate, Gates, HookGate, burst};
pub use plain::{plain, try_plain};
pub use theatre::{Theatre, Unit};
pub use time::{paused, settled, until};
pub use watchdog::watched;
