//! The pool's handle: what users clone, acquire from and close.

use std::fmt;
use std::future::Future;
use std::num::NonZero;
use std::panic::Location;
use std::time::Duration;

use super::acquire::{Acquire, acquire_slow};
use super::admit::{self, pass_marks};
use super::close::why_closed;
use super::connection::PoolConnection;
use super::error::{AcquireError, TryAcquireError};
use super::guarded;
use super::hooks::{Hook, Verdict};
use super::maintenance;
use super::manager::Manager;
use super::options::PoolOptions;
use super::retire;
use super::shared::{Body, Lease, Shared};
use super::stats::PoolStats;
use crate::engine::{Caller, Commons, Handle, Settings, WeakHandle};
use crate::sync::Arc;
use crate::time::Clock;

/// A pool of connections. A cheap handle: clones are of the same pool.
///
/// When the last handle is dropped the pool is closed; connections that are held then stay usable
/// and are retired when they come back.
///
/// In the child of a `fork` a pool of the parent refuses ([`AcquireErrorKind::Forked`]), and neither
/// it nor its connections are closed or dropped there: parent and child cannot share a connection. Other
/// calls do nothing there, or say whose it is.
/// Build a pool in each process. A `fork` by other means than the C library's is not seen.
///
/// [`AcquireErrorKind::Forked`]: super::AcquireErrorKind::Forked
///
/// ```
/// # use std::convert::Infallible;
/// use plunge::{Plain, Pool, PoolConnection, PoolOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool: Pool<Plain<u64>> =
///     PoolOptions::new().max_connections(2).connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })?;
/// let mut connection: PoolConnection<Plain<u64>> = pool.acquire().await?;
/// **connection += 1;
/// drop(connection);
/// assert_eq!(pool.stats().idle, 1);
/// # Ok(())
/// # }
/// ```
pub struct Pool<T: Send + 'static> {
    handle: Handle<T, Shared<T>>,
}

impl<T: Send + 'static> Pool<T> {
    pub(crate) fn build<M>(options: PoolOptions<T>, manager: M, commune: Option<Commune<T>>) -> Self
    where
        M: Manager<Connection = T>,
    {
        let tuning = &options.tuning;
        let settings = Settings {
            limit: tuning.max_connections,
            ceiling: options.ceiling(),
            order: options.idle_order,
            // The pools of many keys have one place for all threads.
            workers: match &commune {
                Some(_) => 1,
                None => workers(options.runtime.as_ref()),
            },
            max_connecting: tuning.max_connecting,
            max_waiters: tuning.max_waiters,
            fairness: tuning.fairness,
        };
        let prewarm = tuning.min_idle > 0;
        let (commons, clock) = match commune {
            Some(commune) => (Some(commune.commons), commune.clock),
            None => (None, Clock::start()),
        };
        let shared = Shared::new(
            options,
            clock,
            Box::new(manager),
            M::HAS_HEALTH_TEST,
            M::HAS_ASYNC_CLOSE,
        );
        let pool = Self {
            handle: Handle::first(Arc::new(Body::new(settings, shared, commons))),
        };
        if prewarm {
            // Without a runtime the first acquire begins it.
            let _ = maintenance::ensure(pool.body(), pool.body().host().clock.now());
        }
        pool
    }

    #[inline(always)]
    pub(crate) fn body(&self) -> &Arc<Body<T>> {
        self.handle.body()
    }

    /// Takes an idle connection, or waits until one is returned or opened, `acquire_timeout` at
    /// most.
    ///
    /// # Errors
    ///
    /// Closed, out of time, nothing could be opened: see [`AcquireError::kind`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else: a connection already handed to
    /// it goes to the next waiter. One that was in its check or hook is retired.
    ///
    /// # Cost
    ///
    /// A hit is two locked instructions with the release: no lock, no allocation, no clock. A wait
    /// takes a short lock, arms one timer if it lasts beyond a tick, and allocates nothing, unless a dial fails: then
    /// each that waited for it is told by a small box.
    #[inline]
    #[track_caller]
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, T> {
        Acquire::new(self, Location::caller(), |pool, found| {
            acquire_slow(pool.body(), found, pool.body().host().acquire_timeout())
        })
    }

    /// Like [`acquire`](Self::acquire), with a time-out of its own.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, T> {
        Acquire::new(self, Location::caller(), move |pool, found| {
            acquire_slow(pool.body(), found, limit)
        })
    }

    /// Takes an idle connection if there is one. Never waits, never opens; works without a runtime.
    ///
    /// The async `check` of a connection that was idle for long is left out; its health test is
    /// not.
    ///
    /// # Errors
    ///
    /// Closed, nothing idle, or an async `before_acquire` is set.
    #[inline]
    #[track_caller]
    pub fn try_acquire(&self) -> Result<PoolConnection<T>, TryAcquireError> {
        self.try_acquire_from(Location::caller())
    }

    #[inline(always)]
    pub(crate) fn try_acquire_from(
        &self,
        caller: Caller,
    ) -> Result<PoolConnection<T>, TryAcquireError> {
        let body: &Body<T> = self.body();
        match body.take_quiet() {
            Some(lease) if admit::at_once(body, &lease) => {
                lease.count_use();
                Ok(PoolConnection::new(lease))
            }
            other => self.try_acquire_slow(other, caller),
        }
    }

    /// The pool at this moment.
    pub fn stats(&self) -> PoolStats {
        self.body().host().stats(self.body())
    }

    /// The same, for a user: one of many keys looks at itself alone from now on.
    #[cfg(feature = "keyed")]
    pub(crate) fn given_out(self) -> Self {
        self.handle.refuse_in_children();
        self
    }

    /// Whether nobody has another handle.
    #[cfg(feature = "keyed")]
    pub(crate) fn is_only_handle(&self) -> bool {
        self.handle.is_only()
    }

    /// What the pool is called; see [`PoolOptions::name`].
    pub fn name(&self) -> Option<&str> {
        self.body().host().telemetry.name()
    }

    /// A handle that does not keep the pool open.
    pub fn downgrade(&self) -> WeakPool<T> {
        WeakPool {
            handle: self.handle.downgrade(),
        }
    }

    /// [`acquire_timeout`](Self::acquire_timeout) on behalf of `caller`.
    #[cfg(feature = "keyed")]
    pub(crate) fn acquire_from(
        &self,
        limit: Duration,
        caller: Caller,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, T> {
        Acquire::new(self, caller, move |pool, found| {
            acquire_slow(pool.body(), found, limit)
        })
    }

    /// A hit of a caller that has nothing to await: idle, and in no need of a closer look.
    #[inline]
    pub(crate) fn hit(&self, caller: Caller) -> Option<PoolConnection<T>> {
        let body: &Body<T> = self.body();
        let lease = body.take_quiet()?;
        if admit::at_once(body, &lease) {
            lease.count_use();
            return Some(PoolConnection::new(lease));
        }
        if admit::soon(body, &lease) {
            lease.count_use();
            return Some(PoolConnection::new(lease).entered(caller));
        }
        // As it was: nobody had it.
        lease.put();
        None
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_slow(
        &self,
        found: Option<Lease<T>>,
        caller: Caller,
    ) -> Result<PoolConnection<T>, TryAcquireError> {
        let body = self.body();
        let tuning = body.host().tuning();
        if let Some(Hook::Async(_)) = tuning.hooks.before_acquire {
            // As it was: nobody had it, so no hook is shown it.
            found.into_iter().for_each(Lease::put);
            return Err(match body.is_closed() {
                true => why_closed(body),
                false => TryAcquireError::NeedsAwait,
            });
        }
        let mut found = found.or_else(|| body.take_quiet());
        while let Some(lease) = found {
            if let Some(connection) = self.admit_now(lease, caller) {
                return Ok(connection);
            }
            found = body.take_quiet();
        }
        Err(if body.is_closed() {
            why_closed(body)
        } else {
            TryAcquireError::Empty
        })
    }

    /// All looks at a connection that have nothing to await. `None`: it was retired.
    pub(super) fn admit_now(&self, lease: Lease<T>, caller: Caller) -> Option<PoolConnection<T>> {
        let body = self.body();
        if body.is_closed() {
            retire::bury(lease);
            return None;
        }
        let lease = self.greet(pass_marks(body, lease)?)?;
        Some(PoolConnection::new(lease).entered(caller))
    }

    fn greet(&self, mut lease: Lease<T>) -> Option<Lease<T>> {
        let body = Arc::clone(self.body());
        let now = retire::wake_clock(&body);
        let tuning = body.host().tuning();
        if let Some(Hook::Sync(hook)) = &tuning.hooks.before_acquire {
            body.host().unwatch(&lease);
            let mut metadata = body.host().metadata(&lease, now);
            metadata.uses = metadata.uses.wrapping_add(1);
            let verdict = guarded::call("before_acquire", || hook(lease.value_mut(), &metadata));
            if verdict != Ok(Verdict::Keep) {
                retire::bury(lease);
                return None;
            }
            // The hook may have closed the pool.
            if body.is_closed() {
                retire::bury(lease);
                return None;
            }
        }
        lease.stamp(now);
        lease.count_use();
        Some(lease)
    }
}

/// What the pools of a keyed pool share.
pub(crate) struct Commune<T: Send + 'static> {
    pub(crate) commons: Arc<Commons<T, Shared<T>>>,
    /// One clock, so that times of one pool can be compared with those of another.
    pub(crate) clock: Clock,
}

impl<T: Send + 'static> Clone for Commune<T> {
    fn clone(&self) -> Self {
        Self {
            commons: Arc::clone(&self.commons),
            clock: self.clock,
        }
    }
}

/// How many threads are expected to use a pool.
fn workers(runtime: Option<&tokio::runtime::Handle>) -> usize {
    let of_runtime = |handle: &tokio::runtime::Handle| handle.metrics().num_workers();
    let current = tokio::runtime::Handle::try_current().ok();
    let workers = runtime.or(current.as_ref()).map_or(1, of_runtime);
    workers.max(std::thread::available_parallelism().map_or(1, NonZero::get))
}

impl<T: Send + 'static> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.stats()).finish()
    }
}

/// A handle that does not keep its pool open: for hooks, and for tasks that watch a pool.
pub struct WeakPool<T: Send + 'static> {
    handle: WeakHandle<T, Shared<T>>,
}

impl<T: Send + 'static> WeakPool<T> {
    /// The pool, unless its last handle is gone.
    pub fn upgrade(&self) -> Option<Pool<T>> {
        self.handle.upgrade().map(|handle| Pool { handle })
    }
}

impl<T: Send + 'static> Clone for WeakPool<T> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for WeakPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakPool")
    }
}
