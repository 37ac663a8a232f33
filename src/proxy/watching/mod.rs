//! What operators see of requests: counts and times, a line for each, the trace that each belongs to.

mod access;
mod histogram;
mod meters;
mod tally;
#[cfg(test)]
mod tests;
mod trace;

pub use access::{AccessCounts, AccessWriter, Asked, Line};
pub use histogram::{Histogram, add_alone, percentile};
pub use meters::{Classes, Meters, classes};
pub use tally::{Metered, Tally};
pub use trace::{Context, TRACE, Trace};
