//! When the next child is started ahead: children that start take the processor from those that serve.
//!
//! Promise: while somebody waits for a child none is held back; else one starts in a quarter of a second.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

/// Between two children that nobody waits for. One of node's takes that long of one core to start.
const GAP: Duration = Duration::from_millis(250);
/// Starts at a time that wait for their turn; few, so that none waits longer than it may take.
pub const MAX_STARTING: u32 = 4;

/// The pace of one pool.
#[derive(Default)]
pub struct Pace {
    /// Set once the first children are there: until then nobody is served.
    is_warm: AtomicBool,
    waiting: AtomicUsize,
    next: Mutex<Option<Instant>>,
    hurry: Notify,
}

/// Somebody who waits for a child, until dropped.
pub struct Waiting<'a>(&'a Pace);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Relaxed: see `turn`.
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pace {
    /// From now on starts keep the pace.
    pub fn set_warm(&self) {
        // Relaxed: a start more or less at once does no harm.
        self.is_warm.store(true, Ordering::Relaxed);
    }

    /// Has starts hurry until it is dropped.
    pub fn wait(&self) -> Waiting<'_> {
        // Relaxed: see `turn`.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.hurry.notify_waiters();
        Waiting(self)
    }

    /// Whether somebody waits for a child.
    #[cfg(test)]
    pub fn is_waited_for(&self) -> bool {
        // Relaxed: see `turn`.
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Returns once somebody waits for a child.
    pub async fn somebody_waits(&self) {
        // In this order, as in `turn`.
        let mut hurry = std::pin::pin!(self.hurry.notified());
        hurry.as_mut().enable();
        // Relaxed: see `turn`.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            hurry.await;
        }
    }

    /// Waits for the turn of one start.
    ///
    /// # Cancel safety
    ///
    /// A turn that was waited for and dropped is lost: the next start comes a gap later.
    pub async fn turn(&self) {
        // In this order: who begins to wait after the look rings this bell.
        let mut hurry = std::pin::pin!(self.hurry.notified());
        hurry.as_mut().enable();
        // Relaxed: the bell's own lock orders what matters; a start that misses both is late by a gap.
        if !self.is_warm.load(Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed) > 0 {
            return;
        }
        let at = {
            let mut next = self.next.lock();
            let now = Instant::now();
            // Turns that were not waited for count no further than those that can wait at a time.
            let latest = now + GAP * (MAX_STARTING - 1);
            let at = next.map_or(now, |next| next.clamp(now, latest)) + GAP;
            *next = Some(at);
            at
        };
        tokio::select! {
            () = sleep_until(at) => {}
            () = &mut hurry => {}
        }
    }
}
