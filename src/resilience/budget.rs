//! How many retries an upstream may see: a share of its calls, and a few a second beside.
//!
//! Promise: retries never multiply the load of an upstream that is in trouble (the token bucket of
//! Finagle's `RetryBudget`). Cost: two additions a call.

use std::time::Duration;

use tokio::time::Instant;

/// What one retry costs.
const RETRY: u64 = 1000;
/// Savings last this long.
const KEPT: Duration = Duration::from_secs(10);

/// A bucket that calls fill and retries empty.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// Thousandths of a retry.
    balance: u64,
    per_call: u64,
    per_second: u64,
    filled: Instant,
    /// Calls of the running period: what was saved is bounded by what they brought.
    saved: u64,
    period: Instant,
}

impl RetryBudget {
    /// Allows `per_hundred_calls` retries for each hundred calls, and `per_second` beside them.
    pub fn new(per_hundred_calls: u32, per_second: u32, now: Instant) -> Self {
        let per_second = u64::from(per_second) * RETRY;
        Self {
            balance: per_second,
            per_call: u64::from(per_hundred_calls) * RETRY / 100,
            per_second,
            filled: now,
            saved: 0,
            period: now,
        }
    }

    /// Notes a call that is no retry.
    pub fn call(&mut self, now: Instant) {
        self.refill(now);
        self.saved += self.per_call;
        self.balance += self.per_call;
    }

    /// Takes a retry out of the budget; `false`: there is none left.
    pub fn retry(&mut self, now: Instant) -> bool {
        self.refill(now);
        let enough = self.balance >= RETRY;
        if enough {
            self.balance -= RETRY;
        }
        enough
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let gained = self.per_second.saturating_mul(millis) / 1000;
        if gained > 0 {
            self.filled = now;
            // A second's worth at most is kept of what time brings.
            let most = self.balance.max(self.per_second.saturating_add(self.saved));
            self.balance = self.balance.saturating_add(gained).min(most);
        }
        if now.saturating_duration_since(self.period) >= KEPT {
            self.balance = self.balance.min(self.per_second.saturating_add(self.saved));
            self.saved = 0;
            self.period = now;
        }
    }
}
