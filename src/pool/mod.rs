//! The pool: what a user holds, configures and gets errors from.

mod acquire;
mod admit;
mod agenda;
mod alarm;
mod backoff;
mod blocking;
mod care;
mod close;
mod connection;
mod deadline;
mod dial;
mod error;
#[cfg(all(test, unix))]
mod fork_tests;
mod guarded;
mod handle;
mod hooks;
#[cfg(feature = "keyed")]
mod keyed;
mod ledger;
mod maintenance;
mod manager;
mod metadata;
#[cfg(feature = "metrics")]
mod meters;
mod options;
mod probation;
mod profile;
mod ready;
mod resource;
mod retire;
mod runtime;
#[cfg(feature = "serde")]
mod settings;
mod shared;
#[cfg(feature = "tracing")]
mod spanned;
mod stats;
mod stock;
mod sweep;
mod telemetry;
mod tuning;
mod upkeep;
mod watchdog;
mod watcher;
mod watches;

pub use alarm::IdleAlarm;
pub use close::CloseReport;
pub use connection::PoolConnection;
pub use error::{
    AcquireError, AcquireErrorKind, AcquirePhase, OptionsError, Transient, TryAcquireError,
};
pub use handle::{Pool, WeakPool};
pub use hooks::{PoolHooks, Verdict};
#[cfg(feature = "keyed")]
pub use keyed::{KeyHandle, KeyedOptions, KeyedPool, KeyedStats};
pub use ledger::Holder;
pub use manager::{BoxFuture, ConnectContext, Manager};
pub use metadata::ResourceMetadata;
pub use options::PoolOptions;
pub use profile::Profile;
pub use resource::{BoxError, Plain, PoolableResource};
pub use stats::PoolStats;
pub use stock::{AddError, AddErrorKind};
pub use tuning::PoolTuning;
pub use watcher::{IdleBytes, IdleWatcher, WatchKey};
