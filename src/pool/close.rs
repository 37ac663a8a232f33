//! Closing a pool: at once for callers, to a deadline for connections.

use std::cmp::Reverse;
use std::time::Duration;

use super::deadline::timeout_at;
use super::error::OfClosed;
use super::handle::Pool;
use super::ledger::{self, Holder};
use super::retire;
use super::shared::Body;
use crate::sync::Arc;

/// What was left when a close reached its deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Connections that callers still held. They are retired when they come back.
    pub still_leased: u32,
    /// Connections whose closing was not over.
    pub still_closing: u32,
    /// Who still holds one, and since when; the longest first.
    pub stragglers: Vec<Holder>,
}

impl CloseReport {
    /// Whether every connection was closed in time.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what was left of another pool.
    #[cfg(any(feature = "keyed", feature = "proxy"))]
    pub(crate) fn add(&mut self, other: Self) {
        self.still_leased += other.still_leased;
        self.still_closing += other.still_closing;
        self.stragglers.extend(other.stragglers);
        self.stragglers
            .sort_by_key(|straggler| Reverse(straggler.metadata.held));
    }

    fn of<T: Send + 'static>(pool: &Pool<T>) -> Self {
        let body = pool.body();
        let (stats, now) = (pool.stats(), body.host().clock.now());
        // The idle set is empty, so whatever lives in a slot is held.
        let held = body
            .tenants()
            .map(|tenant| ledger::holder(body, &tenant, now));
        let mut stragglers = held.collect::<Vec<_>>();
        stragglers.sort_by_key(|straggler| Reverse(straggler.metadata.held));
        stragglers.truncate(stats.leased as usize);
        let still_closing = stats.idle + stats.closing + stats.recycling + stats.connecting;
        Self {
            still_leased: stats.leased,
            still_closing,
            stragglers,
        }
    }
}

/// Why a pool that is closed is closed.
pub(crate) fn why_closed<T: Send + 'static, E: OfClosed>(body: &Body<T>) -> E {
    match body.is_forked() {
        true => E::FORKED,
        false => E::CLOSED,
    }
}

/// Stops acquires, retires what is idle, tells waiters. Does not wait.
pub(crate) fn begin<T: Send + 'static>(body: &Arc<Body<T>>) {
    if body.is_forked() {
        // What is idle is the parent's, and stays as it is; so does the pool, whoever lets go of it.
        return std::mem::forget(Arc::clone(body));
    }
    let (was_open, wakes) = body.shut();
    while let Some(lease) = body.take_idle() {
        retire::bury(lease);
    }
    body.host().maintenance.wake();
    // Last: wakers are code of others, and may panic.
    if was_open {
        body.host().closing.notify_waiters();
    }
    drop(wakes);
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
        if body.is_forked() {
            return CloseReport::of(self);
        }
        let until = shared.deadline(deadline);
        // Without a runtime nobody would end the wait: then the report is of this moment.
        let report = match timeout_at(until, shared.runtimes.configured(), drained(body)).await {
            Ok(()) => CloseReport::default(),
            Err(_) => CloseReport::of(self),
        };
        shared.telemetry.closed(&report);
        report
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
