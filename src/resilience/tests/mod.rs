//! The machines, on a clock that stands still.

mod breaker;
mod clocks;
mod probe;
mod retries;
