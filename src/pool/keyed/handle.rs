//! A handle on one key of a keyed pool.
//!
//! Promise: always of the key, also after its pool was collected. Cost: no lookup.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;

use super::pool::{KeyedPool, charged};
use crate::engine::Caller;
use crate::pool::connection::PoolConnection;
use crate::pool::error::AcquireError;
use crate::pool::handle::Pool;
use crate::sync::{Arc, ArcSwapOption};

/// One key of a [`KeyedPool`]: acquires without looking the key up.
///
/// It keeps the keyed pool open, and does not keep its key from being collected.
pub struct KeyHandle<K, T: Send + 'static> {
    keyed: KeyedPool<K, T>,
    key: K,
    pool: ArcSwapOption<Pool<T>>,
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
            pool: ArcSwapOption::empty(),
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
    #[track_caller]
    pub fn acquire(
        &self,
    ) -> impl Future<Output = Result<PoolConnection<T>, AcquireError>> + Send + use<'_, K, T> {
        self.acquire_from(Location::caller())
    }

    async fn acquire_from(&self, caller: Caller) -> Result<PoolConnection<T>, AcquireError> {
        let hit = (self.pool.load().as_deref()).and_then(|pool| pool.hit(caller));
        if let Some(hit) = hit {
            return Ok(charged(hit).await);
        }
        let known = self
            .pool
            .load()
            .as_deref()
            .is_some_and(|pool| !pool.is_closed());
        if !known {
            self.pool.store(Some(Arc::new(self.keyed.pool(&self.key)?)));
        }
        self.keyed.acquire_slow(&self.key, None, caller).await
    }
}

impl<K: Clone, T: Send + 'static> Clone for KeyHandle<K, T> {
    fn clone(&self) -> Self {
        Self {
            keyed: self.keyed.clone(),
            key: self.key.clone(),
            pool: ArcSwapOption::new(self.pool.load_full()),
        }
    }
}

impl<K: fmt::Debug, T: Send + 'static> fmt::Debug for KeyHandle<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyHandle").field(&self.key).finish()
    }
}
