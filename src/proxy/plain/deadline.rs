//! One timer a connection, for all limits of its life.
//!
//! Promise: a limit ends what it is set on, late by no more than the timer's own millisecond; one that is shorter than
//! those before, too, once [`Patience::follow`] has heard of it.
//! Cost: setting a limit is a store. The timer rings after the shortest of all limits and is only then set
//! anew, for whatever is due by then: an exchange that ends in time never touches it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// The timer of one connection. It belongs to the task that polled it first.
pub struct Patience {
    timer: Pin<Box<Sleep>>,
    /// No limit is shorter.
    beat: Duration,
    is_armed: bool,
}

impl Patience {
    /// A timer for limits that are all at least `beat`.
    pub fn new(beat: Duration) -> Self {
        Self {
            timer: Box::pin(sleep(beat)),
            beat,
            is_armed: false,
        }
    }

    /// From now on no limit is shorter than this.
    pub fn follow(&mut self, beat: Duration) {
        // What the timer is set to may be too late for the new ones: it is set anew.
        self.is_armed &= beat >= self.beat;
        self.beat = beat;
    }

    /// Waits for `task` until then.
    ///
    /// # Errors
    ///
    /// [`Late`]: the time was over first.
    pub async fn until<F: Future>(&mut self, due: Instant, task: F) -> Result<F::Output, Late> {
        let mut task = pin!(task);
        poll_fn(|context| match task.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_due(context, due).map(Err),
        })
        .await
    }

    /// Ready if a wait has to end.
    pub fn poll_due(&mut self, context: &mut Context<'_>, due: Instant) -> Poll<Late> {
        if self.is_armed && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        self.poll_due_slow(context, due)
    }

    #[cold]
    fn poll_due_slow(&mut self, context: &mut Context<'_>, due: Instant) -> Poll<Late> {
        loop {
            let now = Instant::now();
            if due <= now {
                return Poll::Ready(Late);
            }
            self.is_armed = true;
            self.timer.as_mut().reset(due.min(now + self.beat));
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
#[path = "deadline_tests.rs"]
mod tests;
