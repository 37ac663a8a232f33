//! Whether a peer is alive: asked when it is silent, given up when it stays so.
//!
//! Promise: any sign of life clears it of suspicion. Silence counts only for time in which this process
//! itself ran: a proxy that was stopped, or starved of processor time, condemns nobody. What looks and
//! does not come back often enough to have run, has not run: of the time between two looks at most
//! `longest_beat` is charged.
//!
//! | state    | leaves for                                                                       |
//! |----------|----------------------------------------------------------------------------------|
//! | quiet    | asked: nothing heard for `interval`, or a call timed out                          |
//! | asked    | quiet: any sign of life; asked again: `patience` of charged silence, a beat missed |
//! | given up | nothing: `misses` beats missed, or `timeouts` calls timed out with no sign between |

use std::time::Duration;

use tokio::time::Instant;

/// How patient a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeOptions {
    /// How long a peer may be silent before it is asked.
    pub interval: Duration,
    /// How long it may take to answer.
    pub patience: Duration,
    /// Unanswered questions after which it is given up.
    pub misses: u32,
    /// Calls in a row that timed out after which it is given up.
    pub timeouts: u32,
    /// The most that is charged between two looks.
    pub longest_beat: Duration,
}

/// What to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeStep {
    /// Nothing.
    Wait,
    /// Ask the peer for a sign of life.
    Ask,
    /// Give it up.
    GiveUp,
}

/// What is known of one peer.
#[derive(Clone, Debug)]
pub struct HealthProbe {
    options: ProbeOptions,
    looked: Instant,
    /// Charged silence since the last sign of life, or since the last question.
    silent: Duration,
    asked: bool,
    missed: u32,
    timed_out: u32,
}

impl HealthProbe {
    /// A peer that was heard of just now.
    pub fn new(options: ProbeOptions, now: Instant) -> Self {
        Self {
            options,
            looked: now,
            silent: Duration::ZERO,
            asked: false,
            missed: 0,
            timed_out: 0,
        }
    }

    /// Notes a sign of life.
    pub fn heard(&mut self) {
        (self.silent, self.asked) = (Duration::ZERO, false);
        (self.missed, self.timed_out) = (0, 0);
    }

    /// Notes that a call timed out: the peer is asked at the next look.
    pub fn timed_out(&mut self) {
        self.timed_out = self.timed_out.saturating_add(1);
        if !self.asked {
            self.silent = self.options.interval;
        }
    }

    /// Looks at the peer. `busy`: it has work for which silence is no sign of anything, so it is asked
    /// only if a call has timed out.
    pub fn look(&mut self, busy: bool, now: Instant) -> ProbeStep {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.silent += passed.min(self.options.longest_beat);
        if self.timed_out >= self.options.timeouts {
            return ProbeStep::GiveUp;
        }
        if !self.asked {
            if busy && self.timed_out == 0 {
                self.silent = Duration::ZERO;
            }
            return if self.silent >= self.options.interval {
                self.ask()
            } else {
                ProbeStep::Wait
            };
        }
        if self.silent < self.options.patience {
            return ProbeStep::Wait;
        }
        self.missed += 1;
        if self.missed >= self.options.misses {
            return ProbeStep::GiveUp;
        }
        self.ask()
    }

    fn ask(&mut self) -> ProbeStep {
        (self.asked, self.silent) = (true, Duration::ZERO);
        ProbeStep::Ask
    }
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            patience: Duration::from_secs(5),
            misses: 2,
            timeouts: 5,
            longest_beat: Duration::from_millis(200),
        }
    }
}
