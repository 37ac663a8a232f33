//! Until when one call may go on.
//!
//! Promise: each step has its own limit; signs of progress push back only the idle limit; nothing pushes
//! back the whole, which retries share. While a person is asked, no clock runs but the whole's.
//!
//! | step     | begins            | ends               | limit                  | when it ran out      |
//! |----------|-------------------|--------------------|------------------------|----------------------|
//! | sending  | [`Deadline::new`], [`Deadline::again`] | first sign | `request` | [`Expired::Request`] |
//! | answering| first sign        | the answer         | `idle` between signs, `response` in all | [`Expired::Idle`], [`Expired::Response`] |
//! | asking   | [`Deadline::pause`] | [`Deadline::resume`] | `overall` alone    | [`Expired::Overall`] |

use std::time::Duration;

use tokio::time::Instant;

/// The limits of the calls to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection, or to start a child.
    pub connect: Duration,
    /// To write a request and to see the first sign of an answer.
    pub request: Duration,
    /// Between two signs of an answer.
    pub idle: Duration,
    /// From the first sign to the end of the answer.
    pub response: Duration,
    /// From the arrival of a call to its end, retries and questions included.
    pub overall: Duration,
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No sign of an answer came.
    Request,
    /// Nothing came for too long.
    Idle,
    /// The answer took too long in all.
    Response,
    /// The call took too long in all.
    Overall,
}

/// The clocks of one call.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    overall: Instant,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Sending { until: Instant },
    Answering { idle: Instant, end: Instant },
    Asking { end: Option<Duration> },
}

impl Deadline {
    /// The clocks of a call that arrives now.
    pub fn new(limits: &Timeouts, now: Instant) -> Self {
        let overall = now + limits.overall;
        Self {
            overall,
            step: Step::Sending {
                until: (now + limits.request).min(overall),
            },
        }
    }

    /// The clocks of a call that goes on until its client ends it.
    pub fn endless(now: Instant) -> Self {
        let overall = now + Duration::from_secs(366 * 24 * 3600);
        Self {
            overall,
            step: Step::Asking { end: None },
        }
    }

    /// Starts over with another try; what is left of the whole stays.
    pub fn again(&mut self, limits: &Timeouts, now: Instant) {
        if let Step::Asking { .. } = self.step {
            return; // nobody is asked before the first try: it has no limit but the whole's
        }
        self.step = Step::Sending {
            until: now + limits.request,
        };
    }

    /// Notes a sign of an answer.
    pub fn progress(&mut self, limits: &Timeouts, now: Instant) {
        let idle = now + limits.idle;
        self.step = match self.step {
            Step::Sending { .. } => Step::Answering {
                idle,
                end: now + limits.response,
            },
            Step::Answering { end, .. } => Step::Answering { idle, end },
            asking @ Step::Asking { .. } => asking,
        };
    }

    /// Stops the clocks but the whole's: somebody is asked for something.
    pub fn pause(&mut self, now: Instant) {
        self.step = match self.step {
            Step::Sending { .. } => Step::Asking { end: None },
            Step::Answering { end, .. } => Step::Asking {
                end: Some(end.saturating_duration_since(now)),
            },
            asking @ Step::Asking { .. } => asking,
        };
    }

    /// Lets the clocks go on, the idle one from its start.
    pub fn resume(&mut self, limits: &Timeouts, now: Instant) {
        if let Step::Asking { end, .. } = self.step {
            self.step = Step::Answering {
                idle: now + limits.idle,
                end: now + end.unwrap_or(limits.response),
            };
        }
    }

    /// When the next limit is reached.
    pub fn expires(&self) -> Instant {
        match self.step {
            Step::Sending { until } => until.min(self.overall),
            Step::Answering { idle, end } => idle.min(end).min(self.overall),
            Step::Asking { .. } => self.overall,
        }
    }

    /// What is left of the whole.
    pub fn left(&self, now: Instant) -> Duration {
        self.overall.saturating_duration_since(now)
    }

    /// What ran out, if anything did.
    pub fn expired(&self, now: Instant) -> Option<Expired> {
        if self.overall <= now {
            return Some(Expired::Overall);
        }
        match self.step {
            Step::Sending { until } => (until <= now).then_some(Expired::Request),
            Step::Answering { end, .. } if end <= now => Some(Expired::Response),
            Step::Answering { idle, .. } => (idle <= now).then_some(Expired::Idle),
            Step::Asking { .. } => None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            response: Duration::from_secs(10 * 60),
            overall: Duration::from_secs(15 * 60),
        }
    }
}
