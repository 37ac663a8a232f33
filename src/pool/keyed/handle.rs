//! A handle on one key of a keyed pool.
//!
//! Promise: always of the key, also after its pool was removed. Cost: no lookup.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::task::{Context, Poll};
use std::time::Duration;

use super::acquire::{Acquire, poll_hit};
use super::pool::KeyedPool;
use crate::engine::Caller;
use crate::pool::connection::PoolConnection;
use crate::pool::error::AcquireError;
use crate::pool::handle::Pool;
use crate::sync::OnceLock;

/// One key of a [`KeyedPool`]: acquires without looking the key up.
///
/// It keeps the keyed pool open, and from its first acquire on its key from being collected, though
/// not its connections. After a [`remove`](KeyedPool::remove) it looks the key up each time, as
/// [`KeyedPool::acquire`] does; a new handle does not.
pub struct KeyHandle<K, T: Send + 'static> {
    keyed: KeyedPool<K, T>,
    key: K,
    pool: OnceLock<Pool<T>>,
}

impl<K, T> KeyHandle<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    pub(super) fn new(keyed: KeyedPool<K, T>, key: K) -> Self {
        Self {
            keyed,
            key,
            pool: OnceLock::new(),
        }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Like [`KeyedPool::acquire`] of this key.
    ///
    /// # Errors
    ///
    /// As [`KeyedPool::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`KeyedPool::acquire`].
    #[inline]
    #[track_caller]
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, K, T> {
        self.acquire_within(None, Location::caller())
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
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, K, T> {
        self.acquire_within(Some(limit), Location::caller())
    }

    /// The key's own pool, to tune, suspend, sweep or close it alone, or to bring connections in;
    /// begun if there is none. See [`KeyedPool::key_pool`].
    ///
    /// # Errors
    ///
    /// The keyed pool is closed, or the settings of this key contradict each other.
    pub fn pool(&self) -> Result<Pool<T>, AcquireError> {
        match self.known()? {
            pool if pool.is_closed() => self.keyed.pool(&self.key).map(Pool::given_out),
            pool => Ok(pool.clone().given_out()),
        }
    }

    #[inline]
    fn acquire_within(
        &self,
        limit: Option<Duration>,
        caller: Caller,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, K, T> {
        let hit = move |context: &mut Context<'_>| match self.pool.get() {
            Some(pool) => poll_hit(pool, caller, context),
            None => Poll::Ready(None),
        };
        Acquire::new(hit, move || self.acquire_slow(limit, caller))
    }

    pub(super) async fn acquire_slow(
        &self,
        limit: Option<Duration>,
        caller: Caller,
    ) -> Result<PoolConnection<T>, AcquireError> {
        match self.known()?.is_closed() {
            // Removed: what the key has now is found by the lookup, idle ones too.
            true => self.keyed.acquire_within(&self.key, limit, caller).await,
            false => self.keyed.acquire_slow(&self.key, limit, caller).await,
        }
    }

    /// The pool that the key had when it was first asked for.
    pub(super) fn known(&self) -> Result<&Pool<T>, AcquireError> {
        match self.pool.get() {
            Some(pool) => Ok(pool),
            None => {
                let pool = self.keyed.pool(&self.key)?;
                Ok(self.pool.get_or_init(|| pool))
            }
        }
    }
}

impl<K: Clone, T: Send + 'static> Clone for KeyHandle<K, T> {
    fn clone(&self) -> Self {
        Self {
            keyed: self.keyed.clone(),
            key: self.key.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl<K: fmt::Debug, T: Send + 'static> fmt::Debug for KeyHandle<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyHandle").field(&self.key).finish()
    }
}
