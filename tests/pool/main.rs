//! Behaviour of the pool: whatever user code, callers and runtimes do, nothing is lost and nothing
//! hangs.
//!
//! Time is tokio's paused clock wherever no other thread is involved. Real time bounds a hang only.

mod acquire;
mod blocking;
mod budget;
mod burst;
mod closing;
mod complaints;
mod dials;
mod hooks;
#[cfg(feature = "keyed")]
mod keyed;
#[cfg(feature = "keyed")]
mod keyed_lifecycle;
mod leaks;
mod lifecycle;
mod machine;
mod metadata;
#[cfg(feature = "metrics")]
mod meters;
mod options;
mod order;
mod product;
mod refusals;
mod runtimes;
#[cfg(feature = "serde")]
mod settings;
mod stock;
mod support;
mod suspects;
#[cfg(feature = "tracing")]
mod traces;
mod watching;
