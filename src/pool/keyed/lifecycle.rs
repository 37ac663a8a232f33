//! What is done to all keys, or to one: limits, evictions, suspensions, the end.
//!
//! Promise: what holds for all keys holds for those that come meanwhile, too; nobody is stranded.
//! Cost: a walk over the keys, off the hit path; in a forked child, where the table is the parent's,
//! nothing.

use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use super::pool::KeyedPool;
use crate::pool::close::{self, CloseReport};
use crate::pool::error::OptionsError;
use crate::pool::handle::Pool;
use crate::pool::metadata::ResourceMetadata;
use crate::sync::{Ordering, fence};

impl<K, T> KeyedPool<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Changes the global limit. Above a lowered one, idle connections are retired at once and held
    /// ones as they come back.
    ///
    /// # Errors
    ///
    /// A limit of 0, or the pool is the parent's of this process.
    pub fn set_max_connections(&self, count: u32) -> Result<(), OptionsError> {
        if count == 0 {
            let problem = "is 0, so nothing could ever be acquired; set at least 1";
            return Err(OptionsError::new("max_connections", problem));
        }
        if self.is_forked() {
            return Err(OptionsError::forked());
        }
        self.inner.commune.commons.set_limit(count);
        Ok(())
    }

    /// Retires every connection of every key: idle ones at once, held ones as they come back.
    pub fn evict_all(&self) {
        for pool in self.pools() {
            pool.evict_all();
        }
    }

    /// Retires the idle connections for which `keep` says no; tells how many that were. As
    /// [`Pool::retain`], for one key after the other.
    ///
    /// # Panics
    ///
    /// Where `keep` does. The keys that it was not shown yet are left as they are.
    pub fn retain(&self, mut keep: impl FnMut(&K, &T, &ResourceMetadata) -> bool) -> u32 {
        if self.is_forked() {
            return 0;
        }
        // None of the user's code runs under the table's guard but that of the keys.
        let table = self.inner.table.pin();
        let keys = table.iter().map(|(key, pool)| (key.clone(), pool.clone()));
        let keys = keys.collect::<Vec<_>>();
        drop(table);
        keys.iter()
            .map(|(key, pool)| pool.retain(|value, metadata| keep(key, value, metadata)))
            .sum()
    }

    /// Hands nothing out until [`resume`](Self::resume), of no key; callers wait, within their
    /// time-outs. What comes back is kept.
    pub fn suspend(&self) {
        self.set_suspended(true);
    }

    /// Ends a suspension of all keys, and those of single ones, and serves whoever waits.
    pub fn resume(&self) {
        self.set_suspended(false);
    }

    fn set_suspended(&self, suspended: bool) {
        // SeqCst: between the flag and the walk over the table; pairs with the fence after an
        // insertion. A key that this walk does not see is suspended by whoever inserted it.
        self.inner.suspended.store(suspended, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.pools().iter().for_each(|pool| self.align(pool));
    }

    /// Suspends or resumes a pool as all are now. Of several that do so the last one is right.
    pub(super) fn align(&self, pool: &Pool<T>) {
        loop {
            // SeqCst: ordered with the change of the gate below. Who changes the flag between the two
            // looks is seen by the second one; who changes it after that walks over this pool, too.
            let suspended = self.inner.suspended.load(Ordering::SeqCst);
            match suspended {
                true => pool.suspend(),
                false => pool.resume(),
            }
            // SeqCst: as above.
            if self.inner.suspended.load(Ordering::SeqCst) == suspended {
                return;
            }
        }
    }

    /// The pool of one key, if it has one: to tune, suspend, sweep or close it alone, or to bring
    /// connections in.
    ///
    /// While it is kept its key is not collected, and its settings last. It takes part in the global
    /// limit as before.
    pub fn key_pool(&self, key: &K) -> Option<Pool<T>> {
        let pool = self.inner.table.pin().get(key).cloned();
        let pool = pool.filter(|pool| !pool.is_closed())?;
        Some(pool.given_out())
    }

    /// Closes the pool of one key and forgets it; the next acquire of that key begins a new one.
    /// Tells whether there was one. Does nothing in a forked child.
    pub fn remove(&self, key: &K) -> bool {
        if self.is_forked() {
            return false;
        }
        let removed = self.inner.table.pin().remove(key).cloned();
        removed.inspect(|pool| close::begin(pool.body())).is_some()
    }

    /// Closes all keys and waits for their connections, `deadline` at most. In a forked child nothing
    /// is closed, and the report says nothing.
    ///
    /// # Cancel safety
    ///
    /// All stays closed; only the waiting ends.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        // Release: pairs with the Acquire in `is_closed`.
        self.inner.closed.store(true, Ordering::Release);
        // SeqCst: between the flag and the walk over the table; pairs with the fence after an
        // insertion. A key that this walk does not see is closed by whoever inserted it.
        fence(Ordering::SeqCst);
        let pools = self.pools();
        pools.iter().for_each(|pool| close::begin(pool.body()));
        let until = Instant::now().checked_add(deadline);
        let mut report = CloseReport::default();
        for pool in pools {
            let left = until.map_or(deadline, |until| {
                until.saturating_duration_since(Instant::now())
            });
            report.add(pool.close(left).await);
        }
        report
    }

    /// The pools of all keys; none in a forked child.
    fn pools(&self) -> Vec<Pool<T>> {
        if self.is_forked() {
            return Vec::new();
        }
        self.inner.table.pin().values().cloned().collect()
    }
}
