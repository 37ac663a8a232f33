//! State machines that decide when to wait, try again, refuse or give up; none of them does I/O.
//!
//! | machine            | is fed                              | says                                  |
//! |--------------------|-------------------------------------|---------------------------------------|
//! | [`Deadline`]       | the steps of one call               | until when it may go on, and what ran out |
//! | [`Backoff`]        | failures and successes              | how long to wait before the next try  |
//! | [`RetryBudget`]    | calls and retries                   | whether a retry may be made           |
//! | [`CircuitBreaker`] | the ends of calls                   | whether a call may be made            |
//! | [`HealthProbe`]    | signs of life, time-outs, the clock | when to ask, and when to give up      |
//!
//! Time comes in as an argument, so each is tested without waiting. None locks: whoever shares one puts
//! it behind a lock of its own. Cost: a few comparisons a step; nothing is allocated after the start.

mod backoff;
mod breaker;
mod budget;
mod deadline;
mod dice;
mod probe;
#[cfg(test)]
mod tests;
mod window;

pub use backoff::Backoff;
pub use breaker::{
    Admission, Began, BreakerOptions, BreakerState, CircuitBreaker, Outcome, Rejected,
};
pub use budget::RetryBudget;
pub use deadline::{Deadline, Expired, Timeouts};
pub use probe::{HealthProbe, ProbeOptions, ProbeStep};
