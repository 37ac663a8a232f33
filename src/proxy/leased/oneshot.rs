//! `oneshot` mode: a child for each request, which answers it and exits.
//!
//! Promise: a child sees one request and the end of its input; it is never used again and always reaped.
//! That it exits after its answer is success. At most as many run as children are allowed; who comes then
//! waits in the pool's line. In the revision without sessions a client that goes away ends its child.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::busy::Busy;
use crate::proxy::call::{Call, Flight};
use crate::proxy::live::Live;
use crate::proxy::peer::PeerSource;
use crate::proxy::session::{Nursery, OwnedChild};
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Deadline;
use crate::sync::Arc;
use crate::{BoxError, CloseReport, PoolStats};

/// The children that wait for a request, and those that have one.
pub struct Oneshot {
    nursery: Nursery,
    busy: Busy<OwnedChild>,
}

impl Oneshot {
    /// A pool without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(source: &PeerSource, live: &Live) -> Result<Self, BoxError> {
        Ok(Self {
            nursery: Nursery::new(source, live)?,
            busy: Busy::new(),
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
        deadline: Deadline,
    ) -> Result<Call, Fault> {
        let child = Arc::new(self.nursery.take().await?.without_answers());
        // Before the write: dropped in the middle of it, the request still ends and lets go.
        flight.hold(Box::new(self.busy.enter(&child)));
        let is_modern = flight.manner.is_modern();
        let mut call = child.call(flight, line, deadline, 1).await?;
        child.finish();
        if is_modern {
            // Not the child itself: its end would wait for that of the call.
            let child = Arc::downgrade(&child);
            call.or_else(move || {
                if let Some(child) = child.upgrade() {
                    child.give_up();
                }
            });
        }
        Ok(call)
    }

    /// Ends overdue requests.
    pub fn sweep(&self, now: Instant) {
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
