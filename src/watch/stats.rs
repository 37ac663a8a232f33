//! What the watch did so far, for the whole process.

use crate::sync::{AtomicU64, Ordering};

/// The watch at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStats {
    /// Connections that are watched now.
    pub watched: u64,
    /// Threads that watch: one while anything is watched, and none a while later.
    pub threads: u64,
    /// Watches begun so far.
    pub begun: u64,
    /// Watches that the kernel refused so far.
    pub refused: u64,
    /// Events of watched connections so far.
    pub events: u64,
    /// Events of connections that had been taken since; each ended its watch.
    pub stale: u64,
}

/// The watch of this process.
pub fn stats() -> WatchStats {
    let (watched, threads) = super::poller::census();
    WatchStats {
        watched,
        threads,
        begun: BEGUN.get(),
        refused: REFUSED.get(),
        events: EVENTS.get(),
        stale: STALE.get(),
    }
}

pub(super) struct Count(AtomicU64);

pub(super) static BEGUN: Count = Count(AtomicU64::new(0));
pub(super) static REFUSED: Count = Count(AtomicU64::new(0));
pub(super) static EVENTS: Count = Count(AtomicU64::new(0));
pub(super) static STALE: Count = Count(AtomicU64::new(0));

impl Count {
    pub(super) fn add(&self, count: u64) {
        // Relaxed: a statistic.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}
