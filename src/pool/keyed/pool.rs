//! A pool per key under one global limit.
//!
//! Promise: never more connections than the global limit; while it is reached, a caller that needs
//! one gets that of the key used least recently, or that of the next release anywhere; a key
//! without connections, callers and handles is forgotten. Cost of a hit: one lookup in a concurrent
//! map, without a lock, and the two locked instructions of a pool; one load more at release.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::task::{Context, Poll};
use std::time::Duration;

use papaya::HashMap;
use tokio::time::Instant;

use super::acquire::{Acquire, poll_hit};
use super::collect::{self, Collector};
use super::handle::KeyHandle;
use super::options::{KeyedOptions, Opener, Override};
use super::stats::KeyedStats;
use crate::engine::{Caller, Commons, CommonsState};
use crate::pool::close;
use crate::pool::connection::PoolConnection;
use crate::pool::error::{AcquireError, AcquireErrorKind, AcquirePhase, TryAcquireError};
use crate::pool::handle::{Commune, Pool};
use crate::pool::options::PoolOptions;
use crate::pool::runtime::Runtimes;
use crate::pool::stats::{Counter, PoolStats};
use crate::sync::{Arc, AtomicBool, Ordering, fence};
use crate::time::Clock;

/// A pool per key, all under one limit. A cheap handle: clones are of the same pools.
///
/// When the last handle is dropped all of them are closed.
///
/// ```
/// # use std::convert::Infallible;
/// use plunge::{KeyedOptions, KeyedPool, Plain};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstreams: KeyedPool<String, Plain<usize>> = KeyedOptions::new()
///     .max_connections(100)
///     .connect_with(|host: &String| {
///         let length = host.len();
///         async move { Ok::<_, Infallible>(Plain(length)) }
///     })?;
/// let connection = upstreams.acquire(&"example".to_owned()).await?;
/// assert_eq!(**connection, 7);
/// # Ok(())
/// # }
/// ```
pub struct KeyedPool<K, T: Send + 'static> {
    pub(super) inner: Arc<Inner<K, T>>,
}

pub(super) struct Inner<K, T: Send + 'static> {
    pub(super) table: HashMap<K, Pool<T>>,
    pub(super) commune: Commune<T>,
    open: Opener<K, T>,
    per_key: PoolOptions<T>,
    override_key: Option<Override<K, T>>,
    pub(super) key_timeout: Duration,
    pub(super) runtimes: Runtimes,
    pub(super) collector: Collector<K>,
    pub(super) collected: Counter,
    pub(super) closed: AtomicBool,
    /// Nothing of any key is handed out.
    pub(super) suspended: AtomicBool,
}

impl<K, T> KeyedPool<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    pub(super) fn build(options: KeyedOptions<K, T>, open: Opener<K, T>) -> Self {
        let commune = Commune {
            commons: Arc::new(Commons::new(options.max_connections)),
            clock: Clock::start(),
        };
        let inner = Inner {
            table: HashMap::new(),
            commune,
            open,
            runtimes: Runtimes::new(options.per_key.runtime.clone()),
            per_key: options.per_key,
            override_key: options.override_key,
            key_timeout: options.key_timeout,
            collector: Collector::new(),
            collected: Counter::default(),
            closed: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes an idle connection of `key`, or waits until one is returned or opened, that key's
    /// `acquire_timeout` at most.
    ///
    /// While the global limit is reached, an idle connection of the key used least recently is
    /// retired to make room.
    ///
    /// # Errors
    ///
    /// As [`Pool::acquire`]; [`AcquireErrorKind::InvalidOptions`] if the settings of this key
    /// contradict each other.
    ///
    /// # Cancel safety
    ///
    /// As [`Pool::acquire`].
    #[track_caller]
    pub fn acquire<'a>(
        &'a self,
        key: &'a K,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'a, K, T> {
        self.acquire_within(key, None, Location::caller())
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
    #[track_caller]
    pub fn acquire_timeout<'a>(
        &'a self,
        key: &'a K,
        limit: Duration,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'a, K, T> {
        self.acquire_within(key, Some(limit), Location::caller())
    }

    #[inline]
    pub(super) fn acquire_within<'a>(
        &'a self,
        key: &'a K,
        limit: Option<Duration>,
        caller: Caller,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'a, K, T> {
        let hit = move |context: &mut Context<'_>| match self.inner.table.pin().get(key) {
            Some(pool) => poll_hit(pool, caller, context),
            None => Poll::Ready(None),
        };
        Acquire::new(hit, move || self.acquire_slow(key, limit, caller))
    }

    /// Takes an idle connection of `key` if there is one. Never waits, never opens.
    ///
    /// # Errors
    ///
    /// As [`Pool::try_acquire`]; a key never seen has nothing idle.
    #[track_caller]
    pub fn try_acquire(&self, key: &K) -> Result<PoolConnection<T>, TryAcquireError> {
        let table = self.inner.table.pin();
        let caller = Location::caller();
        match table.get(key).map(|pool| pool.try_acquire_from(caller)) {
            None | Some(Err(_)) if self.is_forked() => Err(TryAcquireError::Forked),
            Some(Err(TryAcquireError::Closed)) | None if !self.is_closed() => {
                Err(TryAcquireError::Empty)
            }
            None => Err(TryAcquireError::Closed),
            Some(outcome) => outcome,
        }
    }

    /// A handle on one key, which skips the lookup.
    pub fn handle(&self, key: K) -> KeyHandle<K, T> {
        KeyHandle::new(self.clone(), key)
    }

    /// All keys at this moment. In a forked child, where all of it is the parent's, it is closed and
    /// nothing is open.
    pub fn stats(&self) -> KeyedStats {
        let forked = self.is_forked();
        let common = match forked {
            true => CommonsState::default(),
            false => self.inner.commune.commons.state(),
        };
        KeyedStats {
            keys: self.inner.table.len(),
            active_keys: common.active,
            starving_keys: common.starving,
            open: common.open,
            max_connections: common.limit,
            evicted: common.evicted,
            collected: self.inner.collected.get(),
            // SeqCst: as in `align`; here any order would do.
            suspended: self.inner.suspended.load(Ordering::SeqCst),
            closed: forked || self.is_closed(),
        }
    }

    /// The pool of one key at this moment, if it has one.
    pub fn key_stats(&self, key: &K) -> Option<PoolStats> {
        self.inner.table.pin().get(key).map(Pool::stats)
    }

    /// The keys that have a pool, each with its statistics; none in a forked child.
    pub fn all_stats(&self) -> Vec<(K, PoolStats)> {
        if self.is_forked() {
            return Vec::new();
        }
        let table = self.inner.table.pin();
        let each = table.iter().map(|(key, pool)| (key.clone(), pool.stats()));
        each.collect()
    }

    /// Whether the keyed pool is closed.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.inner.closed.load(Ordering::Acquire)
    }

    pub(super) async fn acquire_slow(
        &self,
        key: &K,
        limit: Option<Duration>,
        caller: Caller,
    ) -> Result<PoolConnection<T>, AcquireError> {
        let begun = Instant::now();
        loop {
            let pool = self.pool(key)?;
            let limit = limit.unwrap_or_else(|| pool.body().host().acquire_timeout());
            let left = limit.saturating_sub(begun.elapsed());
            match pool.acquire_from(left, caller).await {
                // Collected or removed meanwhile: the key is looked up again.
                Err(error) if error.is_closed() && !self.is_closed() => {
                    if left.is_zero() {
                        let kind = AcquireErrorKind::TimedOut(AcquirePhase::Wait);
                        return Err(refusal(kind, None));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// The pool of a key; a new one if there is none.
    pub(super) fn pool(&self, key: &K) -> Result<Pool<T>, AcquireError> {
        let table = self.inner.table.pin();
        loop {
            // A key that has nothing does not know of it by itself.
            if self.is_forked() {
                return Err(refusal(AcquireErrorKind::Forked, None));
            }
            if self.is_closed() {
                return Err(refusal(AcquireErrorKind::Closed, None));
            }
            match table.get(key) {
                Some(pool) if !pool.is_closed() => return Ok(pool.clone()),
                Some(_) => {
                    let _ = table.remove_if(key, |_, pool| pool.is_closed());
                }
                None => {
                    if let Some(pool) = self.begin_key(key)? {
                        return Ok(pool);
                    }
                }
            }
        }
    }

    /// Opens the pool of a key that has none. `None`: somebody else was first.
    fn begin_key(&self, key: &K) -> Result<Option<Pool<T>>, AcquireError> {
        let (inner, pool) = (&self.inner, self.open(key)?);
        // Before others find it: nobody is to be served in between.
        // SeqCst: as in `align`, here and below.
        if inner.suspended.load(Ordering::SeqCst) {
            pool.suspend();
        }
        let table = inner.table.pin();
        if table.try_insert(key.clone(), pool.clone()).is_err() {
            return Ok(None);
        }
        collect::after_insert(inner);
        // SeqCst: between the entry and the flags, as in `close` and `set_suspended`: the map's own
        // steps are in no order with them.
        fence(Ordering::SeqCst);
        if self.is_closed() {
            close::begin(pool.body());
        }
        if inner.suspended.load(Ordering::SeqCst) != pool.body().is_suspended() {
            self.align(&pool);
        }
        Ok(Some(pool))
    }

    fn open(&self, key: &K) -> Result<Pool<T>, AcquireError> {
        let inner = &self.inner;
        let options = inner.per_key.clone();
        let options = match &inner.override_key {
            Some(change) => change(key, options),
            None => options,
        };
        (inner.open)(key, options, inner.commune.clone()).map_err(|error| {
            refusal(
                AcquireErrorKind::InvalidOptions,
                Some(Arc::from(Box::from(error))),
            )
        })
    }
}

pub(super) fn refusal(
    kind: AcquireErrorKind,
    error: Option<crate::pool::error::SharedError>,
) -> AcquireError {
    let stats = PoolStats {
        closed: kind == AcquireErrorKind::Closed,
        ..PoolStats::default()
    };
    AcquireError::new(kind, stats, error)
}

impl<K, T: Send + 'static> KeyedPool<K, T> {
    /// Whether it was built by the process that this one was forked off: its locks may be held, and
    /// its table be changed, by threads that are not here. So whoever would walk over that asks first.
    pub(super) fn is_forked(&self) -> bool {
        self.inner.commune.commons.is_forked()
    }
}

impl<K, T: Send + 'static> Clone for KeyedPool<K, T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K, T: Send + 'static> fmt::Debug for KeyedPool<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("KeyedPool");
        match self.is_forked() {
            true => shown.finish_non_exhaustive(),
            false => shown.field(&self.inner.commune.commons.state()).finish(),
        }
    }
}
