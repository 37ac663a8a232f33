//! Options: plain settings, checked when the pool is built.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;

use super::error::OptionsError;
use super::handle::Pool;
use super::hooks::PoolHooks;
use super::manager::{FactoryManager, Manager};
use super::resource::{BoxError, PoolableResource};
use super::tuning::PoolTuning;
use super::watcher::IdleWatcher;
use crate::engine::{Fairness, IdleOrder};
use crate::sync::Arc;

/// The most slots a pool may have.
const MAX_CEILING: u32 = 1 << 20;

/// Builds a [`Pool`].
///
/// ```
/// # use std::{convert::Infallible, time::Duration};
/// use plunge::{Plain, Pool, PoolOptions};
///
/// # fn main() -> Result<(), plunge::OptionsError> {
/// let pool: Pool<Plain<u64>> = PoolOptions::new()
///     .max_connections(16)
///     .acquire_timeout(Duration::from_secs(1))
///     .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })?;
/// # Ok(())
/// # }
/// ```
///
/// With the feature `serde` options are read and written by their names, with times such as `250ms`,
/// `1m30s` or, where there may be no limit, `never`; `profile` names the [`Profile`](super::Profile)
/// that the others change. Hooks, the runtime and the watcher are code, and left out. What contradicts
/// each other is refused when the pool is built.
#[must_use = "a pool is built by `connect_with` or `manager`"]
pub struct PoolOptions<T> {
    pub(crate) tuning: PoolTuning<T>,
    pub(crate) max_connections_ceiling: Option<u32>,
    pub(crate) connect_backoff: (Duration, Duration),
    pub(crate) idle_order: IdleOrder,
    pub(crate) runtime: Option<Handle>,
    pub(crate) watcher: Option<Arc<dyn IdleWatcher<T>>>,
    pub(crate) name: Option<Arc<str>>,
}

impl<T> PoolOptions<T> {
    /// The defaults: 10 connections, 2 s to acquire, 5 s to connect, a check after 1 s idle.
    pub fn new() -> Self {
        Self {
            tuning: PoolTuning::new(),
            max_connections_ceiling: None,
            connect_backoff: (Duration::from_millis(50), Duration::from_secs(5)),
            idle_order: IdleOrder::Affine,
            runtime: None,
            watcher: None,
            name: None,
        }
    }

    /// How many connections may be open at once. At least 1.
    pub fn max_connections(mut self, count: u32) -> Self {
        self.tuning.max_connections = count;
        self
    }

    /// The highest that `max_connections` may ever be raised to at run time: sizes the pool's
    /// memory. `max_connections` unless set.
    pub fn max_connections_ceiling(mut self, count: u32) -> Self {
        self.max_connections_ceiling = Some(count);
        self
    }

    /// How many connections are kept idle, as far as `max_connections` allows.
    pub fn min_idle(mut self, count: u32) -> Self {
        self.tuning.min_idle = count;
        self
    }

    /// How many connections are opened at the same time. 4 unless set.
    pub fn max_connecting(mut self, count: u32) -> Self {
        self.tuning.max_connecting = count;
        self
    }

    /// How many callers may wait in line; one more gets an error at once. No bound unless set.
    pub fn max_waiters(mut self, count: u32) -> Self {
        self.tuning.max_waiters = count;
        self
    }

    /// How long an acquire may take in all: waiting, checks and hooks. 2 s unless set.
    pub fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.tuning.acquire_timeout = limit;
        self
    }

    /// How long opening one connection may take, `after_create` included. 5 s unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.tuning.connect_timeout = limit;
        self
    }

    /// After how long idle a connection is checked before it is handed out. 1 s unless set;
    /// `Duration::MAX`: never.
    pub fn check_after_idle(mut self, idle: Duration) -> Self {
        self.tuning.check_after_idle = idle;
        self
    }

    /// How long an async `after_release` may take. 5 s unless set.
    pub fn hook_timeout(mut self, limit: Duration) -> Self {
        self.tuning.hook_timeout = limit;
        self
    }

    /// How long closing one connection may take before it is dropped. 5 s unless set.
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.tuning.close_timeout = limit;
        self
    }

    /// After how long idle a connection beyond `min_idle` is retired. Never unless set.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.tuning.idle_timeout = Some(limit);
        self
    }

    /// At what age a connection is retired, up to a tenth earlier. Never unless set.
    pub fn max_lifetime(mut self, limit: Duration) -> Self {
        self.tuning.max_lifetime = Some(limit);
        self
    }

    /// After how long a lease is taken for leaked: reported once, to the hook
    /// [`on_leak`](PoolHooks::on_leak) and in [`PoolStats::leaks`](super::PoolStats::leaks), with
    /// the place where it was acquired, and listed by [`Pool::leaks`]. Off unless set.
    ///
    /// Times are as exact as the pool's tick, 100 ms, and reports come from maintenance: without a
    /// runtime there are none.
    ///
    /// # Cost
    ///
    /// Where it is set, a hit takes a longer way, some tens of nanoseconds, for it writes down where
    /// it came from. Nothing where it is not set.
    pub fn leak_after(mut self, limit: Duration) -> Self {
        self.tuning.leak_after = Some(limit);
        self
    }

    /// After how long an acquire is slow: counted in
    /// [`PoolStats::slow_acquires`](super::PoolStats::slow_acquires), and with the feature `tracing` told
    /// as a warning. Off unless set.
    pub fn slow_acquire(mut self, limit: Duration) -> Self {
        self.tuning.slow_acquire = Some(limit);
        self
    }

    /// The first and the longest pause after a failed dial; doubled at each failure in a row, with
    /// jitter. 50 ms and 5 s unless set.
    pub fn connect_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.connect_backoff = (first, longest);
        self
    }

    /// Who is served first. In order of arrival unless set.
    pub fn fairness(mut self, fairness: Fairness) -> Self {
        self.tuning.fairness = fairness;
        self
    }

    /// Which idle connection is handed out next.
    pub fn idle_order(mut self, order: IdleOrder) -> Self {
        self.idle_order = order;
        self
    }

    /// Where connections are opened and maintenance runs. Unless set, on the runtime of the caller
    /// that finds nothing idle.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Who watches connections that were idle for a while, so that one that dies is replaced before
    /// anybody gets it. Nobody unless set; `watch::IdleWatch` (feature `watch`) watches sockets.
    pub fn watch(mut self, watcher: impl IdleWatcher<T>) -> Self {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    /// What the pool is called in spans and events (feature `tracing`) and in metrics (feature
    /// `metrics`), which only pools with a name have; those of one name add up. None unless set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// Code to run at certain points of a connection's life.
    pub fn hooks(mut self, hooks: PoolHooks<T>) -> Self {
        self.tuning.hooks = Arc::new(hooks);
        self
    }

    /// The highest limit ever.
    pub(crate) fn ceiling(&self) -> u32 {
        self.max_connections_ceiling
            .unwrap_or(self.tuning.max_connections)
    }

    pub(crate) fn validate(&self) -> Result<(), OptionsError> {
        self.tuning.validate()?;
        let refuse = |field, problem: String| Err(OptionsError::new(field, problem));
        let limit = self.tuning.max_connections;
        let ceiling = self.ceiling();
        if ceiling < limit {
            let problem = format!("is {ceiling}, below max_connections = {limit}");
            return refuse("max_connections_ceiling", problem);
        }
        if ceiling > MAX_CEILING {
            let set = self.max_connections_ceiling.is_some();
            let field = if set {
                "max_connections_ceiling"
            } else {
                "max_connections"
            };
            return refuse(field, format!("is {ceiling}; the most is {MAX_CEILING}"));
        }
        let (first, longest) = self.connect_backoff;
        if first.is_zero() {
            return refuse(
                "connect_backoff",
                "starts at zero; set a positive duration".into(),
            );
        }
        if first > longest {
            return refuse(
                "connect_backoff",
                format!("starts at {first:?}, above its end {longest:?}"),
            );
        }
        Ok(())
    }
}

impl<T: Send + 'static> PoolOptions<T> {
    /// Builds a pool of what `factory` makes. Nothing is opened until it is needed.
    ///
    /// # Errors
    ///
    /// Options that contradict each other; the error names the field.
    pub fn connect_with<F, Fut, E>(self, factory: F) -> Result<Pool<T>, OptionsError>
    where
        T: PoolableResource,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.manager(FactoryManager::new(factory))
    }

    /// Builds a pool of what `manager` opens. Nothing is opened until it is needed.
    ///
    /// # Errors
    ///
    /// Options that contradict each other; the error names the field.
    pub fn manager<M>(self, manager: M) -> Result<Pool<T>, OptionsError>
    where
        M: Manager<Connection = T>,
    {
        self.validate()?;
        Ok(Pool::build(self, manager, None))
    }
}

impl<T> Clone for PoolOptions<T> {
    fn clone(&self) -> Self {
        Self {
            tuning: self.tuning.clone(),
            runtime: self.runtime.clone(),
            watcher: self.watcher.clone(),
            name: self.name.clone(),
            ..*self
        }
    }
}

impl<T> Default for PoolOptions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PoolOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolOptions")
            .field("name", &self.name)
            .field("tuning", &self.tuning)
            .field("max_connections_ceiling", &self.max_connections_ceiling)
            .field("connect_backoff", &self.connect_backoff)
            .field("idle_order", &self.idle_order)
            .finish_non_exhaustive()
    }
}
