//! A snapshot of a pool, and the counters behind it.
//!
//! Cost: reading sums the slots; counting happens on the slow paths only, hits are counted by the
//! holder's plain store in its slot.

use crate::sync::{AtomicU64, Ordering};

/// A pool at one moment. `open = idle + leased + connecting + recycling + closing`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolStats {
    /// Permits taken: connections in whatever state.
    pub open: u32,
    /// Connections that nobody holds.
    pub idle: u32,
    /// Connections that callers hold.
    pub leased: u32,
    /// Connections being opened.
    pub connecting: u32,
    /// Connections in an async `after_release`.
    pub recycling: u32,
    /// Connections being closed.
    pub closing: u32,
    /// Callers in line.
    pub waiting: u32,
    /// How many may be open.
    pub max_connections: u32,
    /// How many more may be opened now.
    pub capacity_free: u32,
    /// Whether no connection is opened for a moment, because a dial failed.
    pub paused: bool,
    /// Whether the pool is closed.
    pub closed: bool,
    /// Connections handed to callers so far.
    pub acquired: u64,
    /// Connections opened so far.
    pub opened: u64,
    /// Connections retired so far, for whatever reason.
    pub retired: u64,
    /// Acquires that ran out of time so far.
    pub timed_out: u64,
    /// Dials that failed so far.
    pub connect_failures: u64,
    /// Idle connections found dead, by health test or check, so far.
    pub found_dead: u64,
    /// Acquires that were served later than `slow_acquire` allows so far.
    pub slow_acquires: u64,
    /// Leases that were held for longer than `leak_after`, and reported, so far.
    pub leaks: u64,
    /// Idle connections that a watcher saw die, so far.
    pub seen_dying: u64,
    /// Connections that reached their lifetime, so far.
    pub outlived: u64,
    /// The last failure to open a connection.
    pub last_connect_error: Option<String>,
}

/// Counts of what happens off the hit path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: Counter,
    pub(crate) retired: Counter,
    pub(crate) retired_uses: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) connect_failures: Counter,
    /// Those of them that were not transient.
    pub(crate) connect_refusals: Counter,
    pub(crate) found_dead: Counter,
    pub(crate) slow_acquires: Counter,
    pub(crate) leaks: Counter,
    pub(crate) seen_dying: Counter,
    pub(crate) outlived: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Relaxed: a statistic.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Relaxed: a statistic.
        self.0.load(Ordering::Relaxed)
    }
}
