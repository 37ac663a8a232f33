//! The pause after failed dials: doubled at each failure in a row, with jitter.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct ConnectBackoff {
    first: Duration,
    longest: Duration,
    failures: AtomicU32,
    random: RandomState,
}

impl ConnectBackoff {
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self {
            first,
            longest,
            failures: AtomicU32::new(0),
            random: RandomState::new(),
        }
    }

    pub(crate) fn failures(&self) -> u32 {
        // Relaxed: a number on its own.
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        // Relaxed: as above.
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Counts a failure; returns how long to wait before the next dial.
    pub(crate) fn fail(&self) -> Duration {
        // Relaxed: as above.
        self.pause(self.failures.fetch_add(1, Ordering::Relaxed))
    }

    /// How long to wait after so many failures in a row before this one.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let step = self
            .first
            .saturating_mul(1 << failures.min(16))
            .min(self.longest);
        // Between a half and the whole: spread out, and never at once.
        let share = 0.5 + 0.5 * (self.random.hash_one(failures) % 1024) as f64 / 1024.0;
        step.mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_starts_over() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let backoff = ConnectBackoff::new((first, longest));
        for step in [1, 2, 4, 8, 10, 10] {
            let pause = backoff.fail();
            assert!(
                pause >= first * step / 2 && pause <= first * step,
                "{pause:?} at {step}"
            );
        }
        backoff.reset();
        assert!(backoff.fail() <= first);
    }
}
