//! Behaviour of the pool: whatever user code, callers and runtimes do, nothing is lost and nothing
//! hangs.
//!
//! Time is tokio's paused clock wherever no other thread is involved. Real time bounds a hang only.

mod budget;
mod options;
mod product;
mod refusals;
mod support;
