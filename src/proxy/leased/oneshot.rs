//! `oneshot` mode: a child for each request, which answers it and exits.
//!
//! Promise: a child sees one request and the end of its input; it is never used again and always reaped.
//! That it exits after its answer is success; where its client has no session, and goes away, it is ended. At most as many run as children are allowed; who comes then
//! waits in the pool's line.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::busy::Busy;
use crate::proxy::call::{Call, Flight};
use crate::proxy::live::Live;
use crate::proxy::peer::{PeerSource, Strays};
use crate::proxy::session::{Nursery, OwnedChild};
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Deadline;
use crate::sync::Arc;
use crate::{BoxError, CloseReport, PoolStats};

/// The children that wait for a request, and those that have one.
pub struct Oneshot {
    nursery: Nursery,
    busy: Busy<OwnedChild>,
    options: Live,
}

impl Oneshot {
    /// A pool without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(source: &PeerSource, live: &Live, strays: &Arc<Strays>) -> Result<Self, BoxError> {
        Ok(Self {
            nursery: Nursery::new(source, live, strays)?,
            busy: Busy::new(),
            options: live.clone(),
        })
    }

    /// Sends a request to a child of its own and ends the child's input.
    ///
    /// # Errors
    ///
    /// [`Code::NoChild`], [`Code::Busy`], [`Code::Closing`], or the fault of the write.
    pub async fn call(
        &self,
        flight: Arc<Flight>,
        line: Bytes,
        mut deadline: Deadline,
    ) -> Result<Call, Fault> {
        let child = Arc::new(self.nursery.take(deadline).await?.without_answers());
        // Before the write: dropped in the middle of it, the request still ends and lets go.
        flight.hold(Box::new(self.busy.enter(&child)));
        // It waited for the child until now.
        deadline.again(&self.options.get().timeouts(), Instant::now());
        let (id, is_modern) = (flight.id.value(), flight.manner.is_modern());
        let mut call = child.call(flight, line, deadline, 1).await?;
        if let (Some(id), true) = (id, is_modern) {
            let child = Arc::downgrade(&child);
            call.or_else(move || {
                // With its request it goes.
                if let Some(child) = child.upgrade() {
                    child.cancelled(&id);
                }
            });
        }
        child.finish();
        Ok(call)
    }

    /// Ends overdue requests.
    pub fn sweep(&self, now: Instant) {
        self.nursery.sweep();
        for child in self.children() {
            child.expire(now);
        }
    }

    /// The children that have a request.
    pub fn children(&self) -> Vec<Arc<OwnedChild>> {
        self.busy.children()
    }

    /// The children without one.
    pub fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.nursery.pool_stats()
    }

    /// Ends what is in flight.
    pub fn abandon(&self) {
        for child in self.children() {
            child
                .routes
                .end(Fault::new(Code::Closing, "the proxy is shutting down"));
        }
    }

    /// Ends what is in flight and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.abandon();
        self.nursery.close(deadline).await
    }
}
