//! Times, counted in buckets that grow by a quarter of an octave.
//!
//! Promise: a percentile is the upper end of the bucket that holds it, so it is never too low and at most a
//! quarter too high.
//! Cost: two adds to words that several threads write; 1.2 KB.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// Buckets up to 2^36 µs, nineteen hours.
const BUCKETS: usize = 36 * 4;

/// Counts of times.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // Relaxed: counts for a page.
        self.buckets[index(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Counts one, where one thread alone writes: without a locked instruction.
    pub fn record_alone(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        add_alone(&self.buckets[index(us)], 1);
        add_alone(&self.sum_us, us);
    }

    /// What was counted: the upper end of each bucket that is not empty, in µs, with its count.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let counted = self.buckets.iter().enumerate();
        // Relaxed: see `record`.
        let counted = counted.map(|(at, count)| (upper(at), count.load(Ordering::Relaxed)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// All times together, in µs.
    pub fn sum_us(&self) -> u64 {
        // Relaxed: see `record`.
        self.sum_us.load(Ordering::Relaxed)
    }
}

/// Adds to a word that one thread alone writes.
pub fn add_alone(to: &AtomicU64, count: u64) {
    // Relaxed, both: a count for a page, and nobody writes in between.
    to.store(to.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// The time that so many percent of those counted did not exceed, in µs.
pub fn percentile(counts: &[(u64, u64)], percent: f64) -> u64 {
    let all: u64 = counts.iter().map(|(_, count)| count).sum();
    let wanted = (all as f64 * percent / 100.0).ceil().max(1.0) as u64;
    let mut seen = 0;
    for (upper, count) in counts {
        seen += count;
        if seen >= wanted {
            return *upper;
        }
    }
    0
}

/// The bucket of a time: one for each up to 4 µs, then four an octave, each with its upper end.
fn index(us: u64) -> usize {
    let below = us.saturating_sub(1);
    if below < 4 {
        return below as usize;
    }
    let octave = below.ilog2() as usize;
    let quarter = (below >> (octave - 2)) as usize & 3;
    ((octave - 1) * 4 + quarter).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn upper(at: usize) -> u64 {
    if at < 4 {
        return at as u64 + 1;
    }
    let (octave, quarter) = (at / 4 + 1, at as u64 % 4);
    (5 + quarter) << (octave - 2)
}
