//! Meters: counters, gauges and histograms of one pool, for whatever recorder is installed.
//!
//! Counters and gauges are brought up to date by maintenance, from the statistics that the pool keeps
//! anyway, so that neither an acquire nor a release pays for them. Pools of one name add up.
//!
//! Promise: what a pool added to a gauge is taken off again by its last reading, which its end brings
//! with all that was counted until then. A recorder that panics loses a reading and nothing else.
//! Cost: one reading of the statistics each tick.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::guarded;
use super::stats::PoolStats;
use crate::sync::{AtomicU64, Mutex, Ordering};

pub(crate) struct Meters {
    counters: [Counter; COUNTERS.len()],
    gauges: [Gauge; GAUGES.len()],
    wait: Histogram,
    hold: Histogram,
    connect: Histogram,
    /// Holds that were recorded by themselves, because they saw a tick.
    long_holds: AtomicU64,
    told: Mutex<Told>,
}

/// What the recorder was told already.
#[derive(Clone, Copy, Default)]
struct Told {
    counters: [u64; COUNTERS.len()],
    gauges: [u32; GAUGES.len()],
    ended: u64,
    long_holds: u64,
}

impl Told {
    /// A reading taken while a connection changes hands may miss what was told already.
    fn not_below(mut self, before: &Self) -> Self {
        for (now, before) in self.counters.iter_mut().zip(before.counters) {
            *now = before.max(*now);
        }
        self.ended = self.ended.max(before.ended);
        self
    }
}

type Reading<N> = fn(&PoolStats) -> N;

const COUNTERS: [(&str, Reading<u64>); 10] = [
    ("plunge_pool_acquired_total", |stats| stats.acquired),
    ("plunge_pool_opened_total", |stats| stats.opened),
    ("plunge_pool_retired_total", |stats| stats.retired),
    ("plunge_pool_timed_out_total", |stats| stats.timed_out),
    ("plunge_pool_connect_failures_total", |stats| {
        stats.connect_failures
    }),
    ("plunge_pool_found_dead_total", |stats| stats.found_dead),
    ("plunge_pool_seen_dying_total", |stats| stats.seen_dying),
    ("plunge_pool_outlived_total", |stats| stats.outlived),
    ("plunge_pool_slow_acquires_total", |stats| {
        stats.slow_acquires
    }),
    ("plunge_pool_leaks_total", |stats| stats.leaks),
];

const GAUGES: [(&str, Reading<u32>); 7] = [
    ("plunge_pool_idle", |stats| stats.idle),
    ("plunge_pool_leased", |stats| stats.leased),
    ("plunge_pool_connecting", |stats| stats.connecting),
    ("plunge_pool_recycling", |stats| stats.recycling),
    ("plunge_pool_closing", |stats| stats.closing),
    ("plunge_pool_waiting", |stats| stats.waiting),
    ("plunge_pool_max_connections", |stats| stats.max_connections),
];

impl Meters {
    /// Meters of pools of that name, of the recorder that is installed now.
    pub(crate) fn new(pool: &str) -> Self {
        Self {
            counters: COUNTERS.map(|(name, _)| counter!(name, "pool" => pool.to_owned())),
            gauges: GAUGES.map(|(name, _)| gauge!(name, "pool" => pool.to_owned())),
            wait: histogram!("plunge_pool_acquire_wait_seconds", "pool" => pool.to_owned()),
            hold: histogram!("plunge_pool_hold_seconds", "pool" => pool.to_owned()),
            connect: histogram!("plunge_pool_connect_seconds", "pool" => pool.to_owned()),
            long_holds: AtomicU64::new(0),
            told: Mutex::new(Told::default()),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        let _ = guarded::call("recorder", || self.wait.record(time));
    }

    pub(crate) fn connected(&self, time: Duration) {
        let _ = guarded::call("recorder", || self.connect.record(time));
    }

    /// A hold that saw a tick, or several, ends.
    #[cold]
    #[inline(never)]
    pub(crate) fn held(&self, time: Duration) {
        // Relaxed: a statistic.
        self.long_holds.fetch_add(1, Ordering::Relaxed);
        // In drops, too.
        let _ = guarded::call("recorder", || self.hold.record(time));
    }

    /// Tells the recorder what changed since it was told last.
    pub(crate) fn publish(&self, stats: &PoolStats) {
        let mut told = self.told.lock();
        let before = *told;
        let now = self.reading(stats).not_below(&before);
        *told = now;
        drop(told);
        let _ = guarded::call("recorder", || self.tell(before, now));
    }

    fn reading(&self, stats: &PoolStats) -> Told {
        Told {
            counters: COUNTERS.map(|(_, read)| read(stats)),
            gauges: GAUGES.map(|(_, read)| read(stats)),
            ended: stats.acquired.saturating_sub(stats.leased.into()),
            // Relaxed: a statistic.
            long_holds: self.long_holds.load(Ordering::Relaxed),
        }
    }

    fn tell(&self, before: Told, now: Told) {
        let counters = self
            .counters
            .iter()
            .zip(before.counters.iter().zip(now.counters));
        for (counter, (before, now)) in counters {
            if now > *before {
                counter.increment(now - before);
            }
        }
        let gauges = self.gauges.iter().zip(before.gauges.iter().zip(now.gauges));
        for (gauge, (before, now)) in gauges {
            if now != *before {
                gauge.increment(f64::from(now) - f64::from(*before));
            }
        }
        // The others ended within the tick in which they began.
        let ended = now.ended.saturating_sub(before.ended);
        let short = ended.saturating_sub(now.long_holds.saturating_sub(before.long_holds));
        if short > 0 {
            self.hold
                .record_many(0.0, usize::try_from(short).unwrap_or(usize::MAX));
        }
    }
}

#[cfg(test)]
#[path = "meters_tests.rs"]
mod tests;
