//! A point in time and the word that publishes the latest one.
//!
//! Promise: reading the time on a hit is one load. Somebody advances the word while the pool is
//! used; when nobody will, it says so instead of showing a stale time.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// How late what others see to may be, before whoever needs it looks for itself: the next tick, a
/// wake-up, a task of a runtime that stands still. More than two ticks, so that nobody looks while all is
/// well; less than a second, so that a short time-out is kept.
pub(crate) const LAG: Duration = Duration::from_millis(250);

/// Milliseconds since the pool was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    /// Later than every other tick: "nobody advances the time", or "no deadline".
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is before.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The tick `wait` later; [`NEVER`](Self::NEVER) where that is out of range.
    pub(crate) fn after(self, wait: Duration) -> Self {
        // Rounded up: a deadline may be late by a millisecond, never early. In 64 bits: every wait
        // in line asks, and a division of 128 bits costs as much as the line.
        let rest = u64::from(wait.subsec_nanos().div_ceil(1_000_000));
        let millis = wait.as_secs().saturating_mul(1_000).saturating_add(rest);
        Self(self.0.saturating_add(millis))
    }
}

/// The latest tick, or [`Tick::NEVER`] while nobody advances it.
#[derive(Debug)]
pub(crate) struct TickWord(AtomicU64);

impl TickWord {
    /// A word that nobody advances yet.
    pub(crate) fn asleep() -> Self {
        Self(AtomicU64::new(Tick::NEVER.0))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> Tick {
        // Relaxed: a number on its own; nothing is published with it.
        Tick(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, tick: Tick) {
        // Relaxed: as in `load`.
        self.0.store(tick.0, Ordering::Relaxed);
    }

    /// Sets the time if nobody advances it. Tells whether this call woke it up.
    pub(crate) fn wake(&self, now: Tick) -> bool {
        // Relaxed: as in `load`; exactly one caller wins.
        self.0
            .compare_exchange(Tick::NEVER.0, now.0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(all(test, not(plunge_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let start = Tick::from_millis(5);
        assert_eq!(start.after(Duration::from_micros(1)), Tick::from_millis(6));
        assert_eq!(
            start.after(Duration::from_nanos(1_999_000_001)),
            Tick::from_millis(2_005)
        );
        assert_eq!(start.after(Duration::MAX), Tick::NEVER);
        assert_eq!(start.since(Tick::from_millis(9)), Duration::ZERO);
    }

    #[test]
    fn one_caller_wakes_the_word() {
        let word = TickWord::asleep();
        assert_eq!(word.load(), Tick::NEVER);
        assert!(word.wake(Tick::from_millis(3)));
        assert!(!word.wake(Tick::from_millis(4)));
        assert_eq!(word.load(), Tick::from_millis(3));
    }
}
