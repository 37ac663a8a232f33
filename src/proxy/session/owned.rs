//! The child that belongs to one session.
//!
//! Promise: it is never handed to another session, whatever drops it: its lease retires it.

use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::routes::Routes;
use crate::PoolConnection;
use crate::proxy::call::{Call, Flight};
use crate::proxy::guard::ping;
use crate::proxy::peer::{Peer, PeerWriter, Strays};
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::{Deadline, HealthProbe, ProbeOptions, ProbeStep, Timeouts};
use crate::transport::LineCounters;

/// A leased child with state in it.
pub struct OwnedChild {
    lease: OneSession,
    probe: Mutex<HealthProbe>,
    writer: PeerWriter,
    /// What it agreed on with its client, where that is not spoken here.
    pub revision: Option<String>,
    /// Where its lines go.
    pub routes: Arc<Routes>,
}

/// A lease that never goes back to the idle ones.
struct OneSession {
    lease: Option<PoolConnection<Peer>>,
    pid: Option<u32>,
    hung: AtomicBool,
}

impl Drop for OneSession {
    fn drop(&mut self) {
        let Some(mut lease) = self.lease.take() else {
            return;
        };
        if *self.hung.get_mut() {
            // It reads nothing: there is no use in asking it to end.
            lease.detach().kill();
        } else {
            lease.mark_broken();
        }
    }
}

impl OwnedChild {
    /// Takes over a child that nobody has spoken to yet.
    pub fn new(
        lease: PoolConnection<Peer>,
        limits: Timeouts,
        probe: ProbeOptions,
        strays: &Arc<Strays>,
    ) -> Self {
        let routes = Routes::new(limits, strays);
        lease.attach(routes.clone());
        let (writer, pid) = (lease.writer(), lease.pid());
        let lease = OneSession {
            lease: Some(lease),
            pid,
            hung: AtomicBool::new(false),
        };
        Self {
            writer,
            lease,
            revision: None,
            probe: Mutex::new(HealthProbe::new(probe, Instant::now())),
            routes,
        }
    }

    /// Nobody answers what this child asks: its questions are dropped.
    pub fn without_answers(self) -> Self {
        self.routes.drop_questions();
        self
    }

    /// Ends its input after what was written.
    pub fn finish(&self) {
        self.writer.finish();
    }

    /// The process id, if it is a process.
    pub fn pid(&self) -> Option<u32> {
        self.lease.pid
    }

    /// What it wrote that answers nothing.
    pub fn counters(&self) -> Option<LineCounters> {
        self.lease.lease.as_ref()?.counters()
    }

    /// Writes a request and returns the call that waits for its answer.
    ///
    /// # Errors
    ///
    /// The fault of a table that takes no more, or of a child that reads no more; nothing was written to a
    /// child that was dead before.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the request may or may not have been written; its answer is dropped.
    pub async fn call(
        &self,
        flight: Arc<Flight>,
        line: Bytes,
        deadline: Deadline,
        limit: usize,
    ) -> Result<Call, Fault> {
        self.routes
            .insert(&flight, deadline, limit)
            .map_err(unwritten)?;
        let call = Call::new(flight.clone());
        let patience = deadline.expires().saturating_duration_since(Instant::now());
        if let Err(fault) = self.write(line, patience).await {
            if let Some(id) = flight.id.value() {
                self.routes.remove(&id);
            }
            return Err(unwritten(fault));
        }
        Ok(call)
    }

    /// Writes one message.
    ///
    /// # Errors
    ///
    /// That of the writer: [`Code::ChildDied`], or [`Code::TimedOut`] where the child does not read.
    pub async fn write(&self, line: Bytes, patience: Duration) -> Result<(), Fault> {
        self.writer.write(line, patience).await
    }

    /// Ends the requests whose time is over and tells the child so.
    pub fn expire(&self, now: Instant) {
        let expired = self.routes.expired(now);
        if !expired.is_empty() {
            self.probe.lock().timed_out();
        }
        for flight in expired {
            self.cancel(&flight);
            flight.fail(Fault::new(
                Code::TimedOut,
                "the server did not answer in time; the request was cancelled",
            ));
        }
    }

    /// Asks a child that let a request time out for a sign of life; gives it up, and with it the
    /// session, if there is none. `true`: it was given up now.
    pub fn probe(&self, now: Instant) -> bool {
        let mut probe = self.probe.lock();
        if self.routes.heard.lately() {
            probe.heard();
        }
        // A session that is not used says nothing by its silence.
        let step = probe.look(true, now);
        drop(probe);
        match step {
            ProbeStep::Wait => false,
            ProbeStep::Ask => {
                // A full queue is a miss of its own.
                self.writer.try_write(ping());
                false
            }
            ProbeStep::GiveUp if self.routes.is_over() => false,
            ProbeStep::GiveUp => {
                // Relaxed: read by the drop alone, which comes after.
                self.lease.hung.store(true, Ordering::Relaxed);
                self.routes.end(Fault::new(
                    Code::ChildDied,
                    "the server process of this session does not answer and was ended; initialize a new session",
                ));
                true
            }
        }
    }

    fn cancel(&self, flight: &Flight) {
        self.writer
            .try_write(cancellation(flight.id.as_bytes(), "timed out"));
    }

    /// Ends the call that its client has cancelled. The child is told by the relayed message.
    pub fn cancelled(&self, id: &RequestId) {
        if let Some(flight) = self.routes.remove(id) {
            flight.fail(Fault::new(
                Code::Cancelled,
                "the request was cancelled by its client",
            ));
        }
    }
}

/// A child that was dead before the write has run nothing.
fn unwritten(fault: Fault) -> Fault {
    if fault.code == Code::ChildDied {
        fault.not_run()
    } else {
        fault
    }
}

/// The notification that cancels the request with this raw id.
pub fn cancellation(id: &[u8], reason: &str) -> Bytes {
    const HEAD: &[u8] =
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":";
    [HEAD, id, b",\"reason\":\"", reason.as_bytes(), b"\"}}"]
        .concat()
        .into()
}
