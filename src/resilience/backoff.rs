//! Pauses between tries: growing, jittered, capped.
//!
//! Promise: the n-th pause is drawn evenly from zero to min(cap, base doubled n times) ("full jitter",
//! Brooker, "Exponential Backoff And Jitter", 2015), so that many who failed together come back apart.

use std::time::Duration;

use super::dice::Dice;

/// How long to wait before the next try.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    dice: Dice,
}

impl Backoff {
    /// Pauses from `base` on, `cap` at most. Equal seeds give equal pauses.
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self {
            base: base.min(cap),
            cap,
            failures: 0,
            dice: Dice::new(seed),
        }
    }

    /// Notes a failure and returns the pause before the next try.
    pub fn fail(&mut self) -> Duration {
        let longest = self.longest();
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(self.dice.fraction())
    }

    /// The longest that the next pause can be.
    pub fn longest(&self) -> Duration {
        let doubled = 2_u32.checked_pow(self.failures.min(31));
        doubled
            .and_then(|times| self.base.checked_mul(times))
            .map_or(self.cap, |pause| pause.min(self.cap))
    }

    /// A pause of at least `floor`, as a peer asked for, with jitter on top of it.
    pub fn at_least(&mut self, floor: Duration) -> Duration {
        let jitter = self.fail().min(floor.max(self.base));
        floor.min(self.cap.max(floor)).saturating_add(jitter)
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a success: the next pause is short again.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}
