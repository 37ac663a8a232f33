//! A sweep: one look at every idle connection.
//!
//! Retires what is doomed, unhealthy, or was idle for too long; has watched what is cold.
//!
//! Promise: connections are taken one at a time, so that an acquire misses one at most; their stamps
//! are kept; it stands back while somebody waits. Cost: some 60 ns for each healthy one, and a yield
//! every few microseconds.

use std::time::Duration;

use super::retire;
use super::shared::{Body, Lease};
use super::tuning::PoolTuning;
use crate::sync::Arc;
use crate::time::Tick;

/// Looks between two yields.
const BATCH: u32 = 32;

/// How many looks a retirement counts for: closing a socket is a system call.
const RETIREMENT: u32 = 16;

/// No deadline is nearer than this, so that a pass is not followed by the next.
const NEAREST: Duration = Duration::from_millis(100);

pub(crate) struct Sweep<'a, T: Send + 'static> {
    body: &'a Arc<Body<T>>,
    tuning: &'a PoolTuning<T>,
    now: Tick,
    /// When there is something to do for the connections that stayed.
    next: Tick,
    /// Looks since the last yield.
    looks: u32,
    /// Connections that stayed.
    kept: u32,
}

impl<'a, T: Send + 'static> Sweep<'a, T> {
    pub(crate) fn new(body: &'a Arc<Body<T>>, tuning: &'a PoolTuning<T>, now: Tick) -> Self {
        let next = tuning
            .idle_timeout
            .map_or(Tick::NEVER, |limit| now.after(limit));
        Self {
            body,
            tuning,
            now,
            next,
            looks: 0,
            kept: 0,
        }
    }

    /// Looks at all of them; tells when the next is due.
    pub(crate) async fn run(mut self) -> Tick {
        let body = self.body;
        body.sweep_hot(self.now, |lease| self.look(lease));
        // Not those in hot places: it would meet the first ones twice.
        let mut left = body.shared_count();
        while left > 0 && body.queue().waiting == 0 {
            self.looks = 0;
            while left > 0 && self.looks < BATCH {
                body.sweep(&mut left, 1, |lease| self.look(lease));
            }
            tokio::task::yield_now().await;
        }
        if left > 0 {
            // Whoever waits takes what is left, or it is looked at again.
            self.remember(self.now, NEAREST);
        }
        if let Some(watches) = &body.host().watches
            && body.capacity().open() > self.kept
        {
            // What was not seen is held, or came back just now: it will be cold some day.
            self.remember(self.now.after(watches.cold_after), NEAREST);
        }
        self.next
    }

    fn look(&mut self, lease: Lease<T>) -> Option<Lease<T>> {
        self.looks += 1;
        let shared = self.body.host();
        if lease.is_doomed() {
            return self.retire(lease);
        }
        if !shared.is_healthy(lease.value()) {
            shared.counters.found_dead.add(1);
            return self.retire(lease);
        }
        if let Some(limit) = self.tuning.idle_timeout {
            // This one is out of the set, so the others are counted.
            let spare = self.body.idle_count() >= self.tuning.min_idle;
            if spare && self.now.since(lease.since()) >= limit {
                return self.retire(lease);
            }
            self.remember(lease.since().after(limit), NEAREST);
        }
        if let Some(watches) = &shared.watches {
            let cold = lease.since().after(watches.cold_after);
            if self.now >= cold {
                watches.begin(&lease);
            } else {
                // Where all are used in turn, something is cold before long at any time.
                self.remember(cold, NEAREST.max(watches.cold_after / 4));
            }
        }
        self.kept += 1;
        Some(lease)
    }

    fn retire(&mut self, lease: Lease<T>) -> Option<Lease<T>> {
        self.looks += RETIREMENT;
        retire::bury(lease);
        None
    }

    fn remember(&mut self, due: Tick, nearest: Duration) {
        self.next = self.next.min(due.max(self.now.after(nearest)));
    }
}
