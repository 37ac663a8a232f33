//! A lock-free, high-throughput async pool engine.

#[cfg(not(plunge_loom))]
mod pool;
#[cfg(not(plunge_loom))]
pub mod transport;

#[cfg(not(plunge_loom))]
pub use pool::{BoxError, Plain, PoolableResource};
