//! What stands between the calls and an upstream that may fail: its circuit breaker and its budget of
//! retries; and the question that a silent child is asked.
//!
//! Promise: every call that was let in reports its end once, however it ends. A call of a session that has a
//! child of its own is never refused: what such calls say is held apart, and closes the door to new sessions.
//! Cost: two short locks a call.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire::{Code, Fault};
use crate::resilience::{
    Admission, BreakerOptions, BreakerState, CircuitBreaker, Outcome, RetryBudget,
};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};

/// Retries for each hundred calls, and each second beside.
const RETRIES: (u32, u32) = (20, 5);

/// The guard of one upstream.
pub struct Guard {
    breaker: Mutex<CircuitBreaker>,
    /// What calls within sessions say. It is never asked; where it would open, the other one is: a start that
    /// fails is not made good by sessions that work, nor the other way round.
    sessions: Mutex<CircuitBreaker>,
    budget: Mutex<RetryBudget>,
    rejected: AtomicU64,
    retried: AtomicU64,
    ejected: AtomicU64,
    recycled: [AtomicU64; REASONS.len()],
    /// Whether all its calls go to one server, and not each to a process that dies by itself.
    is_one_server: bool,
    /// What the log said last.
    is_left_alone: AtomicBool,
}

/// Where a call brings its share of retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Here: it comes for the first time.
    Here,
    /// It did, and is sent again; or the request will for which this one is sent.
    Elsewhere,
}

/// Why a child that works is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycled {
    /// It had as many requests as it may have.
    Uses,
    /// It is as old as it may be.
    Lifetime,
}

const REASONS: [Recycled; 2] = [Recycled::Uses, Recycled::Lifetime];

/// The right to one call, which reports its end; dropped without, the call was given up.
pub struct Ticket {
    guard: Arc<Guard>,
    admission: Admission,
    is_in_session: bool,
    ended: AtomicBool,
}

impl Guard {
    /// A guard that lets calls in, of an upstream that is one server or many processes.
    pub fn new(options: BreakerOptions, is_one_server: bool) -> Arc<Self> {
        let now = Instant::now();
        let (rejected, retried, ejected, recycled) = Default::default();
        Arc::new(Self {
            breaker: Mutex::new(CircuitBreaker::new(options, now)),
            sessions: Mutex::new(CircuitBreaker::new(options, now)),
            budget: Mutex::new(RetryBudget::new(RETRIES.0, RETRIES.1, now)),
            rejected,
            retried,
            ejected,
            recycled,
            is_one_server,
            is_left_alone: AtomicBool::new(false),
        })
    }

    /// Other limits from now on; begins anew if they judge otherwise.
    pub fn tune(&self, options: BreakerOptions) {
        for breaker in [&self.breaker, &self.sessions] {
            breaker.lock().tune(options, Instant::now());
        }
    }

    /// Lets a call in.
    ///
    /// # Errors
    ///
    /// [`Code::CircuitOpen`] with the time after which a try may help.
    pub fn admit(self: &Arc<Self>, share: Share) -> Result<Ticket, Fault> {
        let now = Instant::now();
        let admitted = self.breaker.lock().admit(now);
        match admitted {
            Ok(admission) => {
                if share == Share::Here {
                    self.budget.lock().call(now);
                }
                Ok(self.ticket(admission, false))
            }
            Err(rejected) => {
                // Relaxed: a count for a page.
                self.rejected.fetch_add(1, Ordering::Relaxed);
                let text = "the server failed too often lately and is left alone for a moment; try again later";
                Err(Fault::new(Code::CircuitOpen, text).retry_after(rejected.retry_after))
            }
        }
    }

    /// Lets a call of a session in that has a child of its own, whatever the breaker says.
    pub fn admit_in_session(self: &Arc<Self>, share: Share) -> Option<Ticket> {
        let now = Instant::now();
        let admitted = self.sessions.lock().admit(now); // it is closed
        if share == Share::Here && self.is_one_server {
            // Else none of them is tried again.
            self.budget.lock().call(now);
        }
        Some(self.ticket(admitted.ok()?, true))
    }

    fn ticket(self: &Arc<Self>, admission: Admission, is_in_session: bool) -> Ticket {
        Ticket {
            guard: self.clone(),
            admission,
            is_in_session,
            ended: AtomicBool::new(false),
        }
    }

    /// Notes how a call within a session ended; tells whether it counted.
    fn note_in_session(&self, admission: Admission, outcome: Outcome, now: Instant) -> bool {
        let mut sessions = self.sessions.lock();
        let counted = sessions.record(admission, outcome, now);
        if sessions.state(now) == BreakerState::Closed {
            return counted;
        }
        let options = sessions.options();
        sessions.renew(options, now);
        drop(sessions);
        self.breaker.lock().trip(now);
        counted
    }

    /// What a fault says of the upstream. Whoever asks for a server, or waits for a child's start, learns of the
    /// same break as the others; the end of a process is told once by [`fail_all`](super::call::fail_all).
    fn outcome_of(&self, fault: &Fault) -> Outcome {
        match fault.code {
            Code::NoChild => Outcome::Lost,
            Code::ChildDied if self.is_one_server => Outcome::Lost,
            Code::ChildDied | Code::TimedOut | Code::UpstreamFailed => Outcome::Failure,
            _ => Outcome::Abandoned,
        }
    }

    /// Whether a call may be tried once more; what is free takes nothing out of the budget.
    pub fn may_retry(&self, is_free: bool) -> bool {
        let may = is_free || self.budget.lock().retry(Instant::now());
        if may {
            // Relaxed: a count for a page.
            self.retried.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Notes that a child was given up because it did not answer.
    pub fn count_ejected(&self) {
        // Relaxed: a count for a page.
        self.ejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a child which works was replaced.
    pub fn count_recycled(&self, reason: Recycled) {
        // Relaxed: a count for a page.
        self.recycled[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were, by reason.
    pub fn recycled(&self) -> [(Recycled, u64); REASONS.len()] {
        // Relaxed: counts for a page.
        REASONS.map(|reason| {
            let count = &self.recycled[reason as usize];
            (reason, count.load(Ordering::Relaxed))
        })
    }

    /// Whether no call is let in now.
    pub fn is_open(&self) -> bool {
        self.breaker.lock().rejects(Instant::now())
    }

    /// In which state the breaker is.
    pub fn state(&self) -> BreakerState {
        self.breaker.lock().state(Instant::now())
    }

    /// Says in the log that the server is left alone, and that it no longer is: once each.
    pub fn tell(&self) {
        let is_left_alone = self.state() != BreakerState::Closed;
        // Relaxed: one task looks, now and then.
        if self.is_left_alone.swap(is_left_alone, Ordering::Relaxed) == is_left_alone {
            return;
        }
        if is_left_alone {
            tracing::warn!(
                "the server failed too often and is left alone: calls are refused, and one is tried now and then"
            );
        } else {
            tracing::warn!("the server answers again, and calls go to it");
        }
    }

    /// How often it opened.
    pub fn times_opened(&self) -> u64 {
        self.breaker.lock().times_opened()
    }

    /// The figures.
    pub fn snapshot(&self) -> Value {
        let (state, opened) = {
            let breaker = self.breaker.lock();
            (
                breaker.state(Instant::now()).as_str(),
                breaker.times_opened(),
            )
        };
        // Relaxed: counts for a page.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "breaker": state,
            "times_opened": opened,
            "rejected": read(&self.rejected),
            "retried": read(&self.retried),
            "ejected": read(&self.ejected),
        })
    }
}

impl Ticket {
    /// Reports the end; only the first one counts. `false`: this one did not.
    pub fn end(&self, outcome: Outcome) -> bool {
        // Relaxed: only the first of several may pass; the breaker has a lock of its own.
        if self.ended.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (guard, now) = (&self.guard, Instant::now());
        match self.is_in_session {
            true => guard.note_in_session(self.admission, outcome, now),
            false => guard.breaker.lock().record(self.admission, outcome, now),
        }
    }

    /// The same, with what the fault says of the upstream.
    pub fn fail(&self, fault: &Fault) -> bool {
        self.end(self.guard.outcome_of(fault))
    }

    /// Notes a sign that the answer is on its way.
    pub fn lives(&self) {
        if self.admission.is_probe() {
            let mut breaker = self.guard.breaker.lock();
            breaker.lives(self.admission, Instant::now());
        }
    }

    /// Reports how something ended that is no request of a client.
    pub fn end_with<T>(&self, result: &Result<T, Fault>) {
        match result {
            Ok(_) => self.end(Outcome::Success),
            Err(fault) => self.fail(fault),
        };
    }
}

impl Recycled {
    /// A word for pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uses => "uses",
            Self::Lifetime => "lifetime",
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

const PING_ID: &str = "\"plunge-ping\"";

/// A question that every server answers, with an id that no client is given.
pub fn ping() -> Bytes {
    Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":\"plunge-ping\",\"method\":\"ping\"}")
}

/// Whether this is the id of an answer to [`ping`].
pub fn is_pong(raw_id: Option<&str>) -> bool {
    raw_id == Some(PING_ID)
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
