//! Blocking acquires of a key.
//!
//! Promise: as those of a single pool. Cost: that of the acquire, and a parked thread while it waits.

use std::hash::Hash;
use std::panic::Location;
use std::time::Duration;

use super::handle::KeyHandle;
use super::pool::{KeyedPool, refusal};
use crate::engine::Caller;
use crate::pool::blocking;
use crate::pool::connection::PoolConnection;
use crate::pool::error::{AcquireError, AcquireErrorKind};

type Acquired<T> = Result<PoolConnection<T>, AcquireError>;

impl<K, T> KeyedPool<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Like [`acquire`](Self::acquire), for a thread that is no part of a runtime; see
    /// [`Pool::acquire_blocking`](crate::Pool::acquire_blocking).
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire) and [`Pool::acquire_blocking`](crate::Pool::acquire_blocking).
    #[track_caller]
    pub fn acquire_blocking(&self, key: &K) -> Result<PoolConnection<T>, AcquireError> {
        self.block(key, None, Location::caller())
    }

    /// Like [`acquire_blocking`](Self::acquire_blocking), with a time-out of its own.
    ///
    /// # Errors
    ///
    /// As [`acquire_blocking`](Self::acquire_blocking).
    #[track_caller]
    pub fn acquire_blocking_timeout(
        &self,
        key: &K,
        limit: Duration,
    ) -> Result<PoolConnection<T>, AcquireError> {
        self.block(key, Some(limit), Location::caller())
    }

    fn block(&self, key: &K, limit: Option<Duration>, caller: Caller) -> Acquired<T> {
        if !blocking::is_allowed() {
            return Err(refusal(AcquireErrorKind::InAsyncCode, None));
        }
        let table = self.inner.table.pin();
        if let Some(hit) = table.get(key).and_then(|pool| pool.hit(caller)) {
            return Ok(hit);
        }
        drop(table);
        let pool = self.pool(key)?;
        let runtime = pool.body().host().runtimes.configured();
        blocking::wait(runtime, self.acquire_slow(key, limit, caller))
    }
}

impl<K, T> KeyHandle<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Like [`KeyedPool::acquire_blocking`] of this key.
    ///
    /// # Errors
    ///
    /// As [`KeyedPool::acquire_blocking`].
    #[track_caller]
    pub fn acquire_blocking(&self) -> Result<PoolConnection<T>, AcquireError> {
        self.block(None, Location::caller())
    }

    /// Like [`acquire_blocking`](Self::acquire_blocking), with a time-out of its own.
    ///
    /// # Errors
    ///
    /// As [`KeyedPool::acquire_blocking`].
    #[track_caller]
    pub fn acquire_blocking_timeout(
        &self,
        limit: Duration,
    ) -> Result<PoolConnection<T>, AcquireError> {
        self.block(Some(limit), Location::caller())
    }

    fn block(&self, limit: Option<Duration>, caller: Caller) -> Acquired<T> {
        if !blocking::is_allowed() {
            return Err(refusal(AcquireErrorKind::InAsyncCode, None));
        }
        let pool = self.known()?;
        if let Some(hit) = pool.hit(caller) {
            return Ok(hit);
        }
        let runtime = pool.body().host().runtimes.configured();
        blocking::wait(runtime, self.acquire_slow(limit, caller))
    }
}
