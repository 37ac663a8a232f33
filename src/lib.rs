#![doc = include_str!("../README.md")]

mod engine;
mod sync;
mod time;

#[cfg(not(plunge_loom))]
mod pool;
#[cfg(all(not(plunge_loom), feature = "proxy", target_os = "linux"))]
pub mod proxy;
#[cfg(not(plunge_loom))]
pub mod resilience;
#[cfg(not(plunge_loom))]
pub mod transport;
#[cfg(any(plunge_loom, all(feature = "watch", unix)))]
#[cfg_attr(plunge_loom, allow(dead_code))] // a model needs a part of it
pub mod watch;

#[cfg(not(plunge_loom))]
pub use engine::{Fairness, IdleOrder};
#[cfg(not(plunge_loom))]
pub use pool::{
    AcquireError, AcquireErrorKind, AcquirePhase, AddError, AddErrorKind, BoxError, BoxFuture,
    CloseReport, ConnectContext, Holder, IdleAlarm, IdleBytes, IdleWatcher, Manager, OptionsError,
    Plain, Pool, PoolConnection, PoolHooks, PoolOptions, PoolStats, PoolTuning, PoolableResource,
    Profile, ResourceMetadata, Transient, TryAcquireError, Verdict, WatchKey, WeakPool,
};
#[cfg(all(not(plunge_loom), feature = "keyed"))]
pub use pool::{KeyHandle, KeyedOptions, KeyedPool, KeyedStats};
