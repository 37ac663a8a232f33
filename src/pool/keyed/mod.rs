//! A pool per key under one global limit.

mod acquire;
mod blocking;
mod collect;
#[cfg(all(test, unix))]
mod fork_tests;
mod handle;
mod lifecycle;
mod options;
mod pool;
#[cfg(feature = "serde")]
mod settings;
mod stats;

pub use handle::KeyHandle;
pub use options::KeyedOptions;
pub use pool::KeyedPool;
pub use stats::KeyedStats;
