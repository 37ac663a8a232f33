//! What happened lately: successes and failures of the last ten spans of time.

use std::time::Duration;

use tokio::time::Instant;

const SPANS: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Duration,
    spans: [(u32, u32); SPANS],
    at: usize,
    begun: Instant,
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let span = (length / SPANS as u32).max(Duration::from_millis(1));
        Self {
            span,
            spans: [(0, 0); SPANS],
            at: 0,
            begun: now,
        }
    }

    pub(super) fn add(&mut self, success: bool, now: Instant) {
        self.turn(now);
        let (good, bad) = &mut self.spans[self.at];
        let count = if success { good } else { bad };
        *count = count.saturating_add(1);
    }

    pub(super) fn add_failures(&mut self, failures: u32, now: Instant) {
        self.turn(now);
        let bad = &mut self.spans[self.at].1;
        *bad = bad.saturating_add(failures);
    }

    /// Forgets a success that was noted then, if the window still holds it.
    pub(super) fn take_back(&mut self, then: Instant, now: Instant) {
        self.turn(now);
        let before = self.begun.saturating_duration_since(then);
        let back = before.as_nanos().div_ceil(self.span.as_nanos()) as usize;
        if back < SPANS {
            let good = &mut self.spans[(self.at + SPANS - back) % SPANS].0;
            *good = good.saturating_sub(1);
        }
    }

    /// Successes and failures in the window.
    pub(super) fn sums(&mut self, now: Instant) -> (u64, u64) {
        self.turn(now);
        self.spans.iter().fold((0, 0), |(good, bad), span| {
            (good + u64::from(span.0), bad + u64::from(span.1))
        })
    }

    pub(super) fn clear(&mut self, now: Instant) {
        self.spans = [(0, 0); SPANS];
        self.begun = now;
    }

    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun);
        if passed >= self.span * SPANS as u32 {
            return self.clear(now);
        }
        while now.saturating_duration_since(self.begun) >= self.span {
            self.at = (self.at + 1) % SPANS;
            self.spans[self.at] = (0, 0);
            self.begun += self.span;
        }
    }
}
