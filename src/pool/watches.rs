//! Which connections of a pool are watched, and under what names.
//!
//! Promise: an entry is touched by whoever holds its connection, so each key is ended once.
//! Cost: 16 bytes a slot where a watcher is set, nothing elsewhere.

use std::num::NonZero;
use std::time::Duration;

use super::alarm::IdleAlarm;
use super::guarded;
use super::shared::Lease;
use super::watcher::{IdleWatcher, WatchKey};
use crate::sync::{Arc, AtomicU64, Ordering};

pub(crate) struct Watches<T> {
    watcher: Arc<dyn IdleWatcher<T>>,
    pub(crate) cold_after: Duration,
    entries: Box<[Entry]>,
}

#[derive(Default)]
struct Entry {
    /// 0: not watched.
    key: AtomicU64,
    /// The uses of the connection when that was last tried, plus one; 0: never.
    tried: AtomicU64,
}

impl<T: Send + 'static> Watches<T> {
    /// For connections in slots below `slots`.
    pub(crate) fn new(watcher: Arc<dyn IdleWatcher<T>>, slots: u32) -> Self {
        let cold_after = guarded::call("cold_after", || watcher.cold_after());
        Self {
            watcher,
            cold_after: cold_after.unwrap_or(Duration::from_secs(1)),
            entries: (0..slots).map(|_| Entry::default()).collect(),
        }
    }

    /// Has a connection watched that is about to be idle again, unless that was tried since its last
    /// use.
    pub(crate) fn begin(&self, lease: &Lease<T>) {
        let stay = lease.stay();
        let entry = &self.entries[stay.number() as usize];
        let tried = stay.uses().wrapping_add(1);
        // Relaxed, all of these: the entry is the holder's, and goes to the next with the id.
        if entry.tried.swap(tried, Ordering::Relaxed) == tried {
            return;
        }
        let alarm = IdleAlarm::new(lease.body(), stay);
        let watched = guarded::call("watch", || self.watcher.watch(lease.value(), alarm));
        let key = watched.ok().flatten().map_or(0, |key| key.0.get());
        // The old one last: the watcher may have turned it into the new one.
        self.unwatch(entry.key.swap(key, Ordering::Relaxed));
    }

    /// Ends the watch of a connection: it is about to leave, or to be used by the pool itself.
    pub(crate) fn end(&self, lease: &Lease<T>) {
        let entry = &self.entries[lease.stay().number() as usize];
        // Relaxed: as above.
        if entry.tried.load(Ordering::Relaxed) != 0 {
            entry.tried.store(0, Ordering::Relaxed);
            self.unwatch(entry.key.swap(0, Ordering::Relaxed));
        }
    }

    fn unwatch(&self, key: u64) {
        if let Some(key) = NonZero::new(key) {
            // Called in drops, too.
            let _ = guarded::call("unwatch", || self.watcher.unwatch(WatchKey(key)));
        }
    }
}
