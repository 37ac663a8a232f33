//! When a lost stream is opened again, and from where.
//!
//! Promise: a server that takes a connection and drops it is tried ever more rarely; one whose streams
//! live, or bring something, is not. Those who lost their streams together come back apart. A pause that
//! the server asked for is kept.
//!
//! | lost                                     | pause                                             |
//! |------------------------------------------|---------------------------------------------------|
//! | after an event, or after a while         | drawn from zero to `spread`                       |
//! | otherwise                                | drawn from zero to `base`, doubled each time, `cap` at most |
//! | either, and the server named a pause     | that pause, and the drawn one on top              |

use std::time::Duration;

use tokio::time::Instant;

use super::SseEvent;
use crate::resilience::Backoff;

/// The times of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectOptions {
    /// The longest pause after the first failure.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
    /// How long a stream without an event has to live to count as a success.
    pub lived: Duration,
    /// Over how long those who lost a stream that worked come back. A tenth of it holds a tenth of them,
    /// so 200 streams that were cut at once do not meet again.
    pub spread: Duration,
    /// Failures in a row after which a stream is given up; `None`: never.
    pub max_failures: Option<u32>,
}

impl Default for ReconnectOptions {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            lived: Duration::from_secs(5),
            spread: Duration::from_millis(2500),
            max_failures: None,
        }
    }
}

/// The policy of one stream.
#[derive(Clone, Debug)]
pub struct Reconnect {
    options: ReconnectOptions,
    backoff: Backoff,
    spread: Backoff,
    asked: Duration,
    last_id: Option<String>,
    opened: Option<Instant>,
    has_events: bool,
}

impl Reconnect {
    /// The policy of a stream that was never open. Equal seeds give equal pauses.
    pub fn new(options: ReconnectOptions, seed: u64) -> Self {
        Self {
            options,
            backoff: Backoff::new(options.base, options.cap, seed),
            spread: Backoff::new(options.spread, options.spread, seed),
            asked: Duration::ZERO,
            last_id: None,
            opened: None,
            has_events: false,
        }
    }

    /// Notes that the server took the stream. That alone is no success.
    pub fn opened(&mut self, now: Instant) {
        self.opened = Some(now);
        self.has_events = false;
    }

    /// Notes an event.
    pub fn event(&mut self, event: &SseEvent) {
        self.has_events |= !event.data.is_empty();
        if let Some(pause) = event.retry {
            self.asked = pause.min(self.options.cap);
        }
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
    }

    /// Notes that the stream ended, or could not be opened, and returns the pause before the next try;
    /// `None`: it is given up.
    pub fn lost(&mut self, now: Instant) -> Option<Duration> {
        let lived = self
            .opened
            .take()
            .is_some_and(|opened| now.duration_since(opened) >= self.options.lived);
        let pause = if lived || self.has_events {
            self.backoff.succeed();
            self.spread.fail()
        } else {
            let most = self.options.max_failures;
            if most.is_some_and(|most| self.backoff.failures() >= most) {
                return None;
            }
            self.backoff.fail()
        };
        self.has_events = false;
        Some(self.asked + pause)
    }

    /// The id to resume after, for `Last-Event-ID`; an empty one clears it, as the standard has it.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }
}
