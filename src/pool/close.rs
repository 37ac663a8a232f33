//! Closing a pool: at once for callers, to a deadline for connections.

use std::time::Duration;

use super::deadline::timeout_at;
use super::handle::Pool;
use super::shared::Body;
use crate::sync::Arc;

/// What was left when a close reached its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Connections that callers still held. They are retired when they come back.
    pub still_leased: u32,
    /// Connections whose closing was not over.
    pub still_closing: u32,
}

impl CloseReport {
    /// Whether every connection was closed in time.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Stops acquires, tells waiters, retires what is idle. Does not wait.
pub(crate) fn begin<T: Send + 'static>(body: &Arc<Body<T>>) {
    if body.shut() {
        body.host().closing.notify_waiters();
    }
    while let Some(lease) = body.take_idle() {
        // The gate is closed, so a put retires.
        drop(lease);
    }
    body.host().maintenance.wake();
}

impl<T: Send + 'static> Pool<T> {
    /// Closes the pool and waits for its connections, `deadline` at most.
    ///
    /// From the call on, acquires fail and waiters get an error; idle connections are closed at
    /// once, leased ones when they come back. May be called more than once.
    ///
    /// # Cancel safety
    ///
    /// The pool stays closed; only the waiting ends.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        let body = self.body();
        let shared = body.host();
        begin(body);
        let until = shared.deadline(deadline);
        let drained = timeout_at(until, shared.runtimes.configured(), drained(body)).await;
        if drained.is_some() {
            return CloseReport::default();
        }
        let stats = self.stats();
        CloseReport {
            still_leased: stats.leased,
            still_closing: stats.idle + stats.closing + stats.recycling + stats.connecting,
        }
    }

    /// Returns when the pool is closed: for holders that should finish early.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn close_event(&self) {
        let body = self.body();
        body.host().closed(body).await;
    }

    /// Whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.body().is_closed()
    }
}

async fn drained<T: Send + 'static>(body: &Body<T>) {
    loop {
        let mut notified = std::pin::pin!(body.host().drained.notified());
        notified.as_mut().enable();
        if body.capacity().open() == 0 {
            return;
        }
        notified.await;
    }
}
