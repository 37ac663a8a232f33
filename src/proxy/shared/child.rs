//! A shared child in service.

use crate::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::flights::Refused;
use super::handshake::Handshaken;
use super::hello::Hello;
use super::pulse::Pulse;
use super::router::ChildRouter;
use super::wear::{Stage, Wear};
use crate::proxy::call::{Call, Flight, Manner, Owner, fail_all};
use crate::proxy::options::ServeOptions;
use crate::proxy::peer::PeerWriter;
use crate::proxy::wire::{Code, Envelope, Fault, RequestId, Splice, older_meta};
use crate::resilience::Deadline;
use crate::transport::LineCounters;
use crate::{PoolConnection, PoolableResource};

/// A leased child that takes requests of everybody.
pub struct SharedChild {
    lease: PoolConnection<Handshaken>,
    hello: Arc<Hello>,
    pid: Option<u32>,
    pulse: Arc<Pulse>,
    writer: PeerWriter,
    router: Arc<ChildRouter>,
    /// How much of its life it has behind it.
    pub wear: Arc<Wear>,
    /// When it came into service.
    pub since: Instant,
}

/// Where the parts of a request stand that the child must not see as they are.
pub struct Request<'a> {
    /// The message.
    pub message: &'a Envelope<'a>,
    /// Its bytes, on one line.
    pub line: &'a Bytes,
    /// Its raw id.
    pub id: &'a str,
    /// Its raw progress token.
    pub token: Option<&'a str>,
}

impl SharedChild {
    /// Takes a child into service.
    pub fn new(lease: PoolConnection<Handshaken>) -> Self {
        let (writer, router) = (lease.peer.writer(), lease.router.clone());
        router.serve();
        Self {
            hello: lease.hello.clone(),
            wear: lease.wear.clone(),
            pid: lease.peer.pid(),
            pulse: lease.pulse.clone(),
            lease,
            writer,
            router,
            since: Instant::now(),
        }
    }

    /// What it said of itself.
    pub fn hello(&self) -> &Arc<Hello> {
        &self.hello
    }

    /// The process id, if it is a process.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether it is still there.
    pub fn is_alive(&self) -> bool {
        !self.pulse.has_stopped() && self.lease.peer.is_healthy()
    }

    /// Whether the next request may be sent to it, where it has one at a time.
    pub fn is_clean(&self) -> bool {
        self.lease.is_healthy()
    }

    /// Requests in flight.
    pub fn load(&self) -> usize {
        self.router.flights.len()
    }

    /// Whether it takes one more.
    pub fn has_room(&self) -> bool {
        self.router.flights.has_room()
    }

    /// Whether another one is to take its place.
    pub fn is_due(&self) -> bool {
        self.wear.stage() >= Stage::Due
    }

    /// Whether it is to have no more requests.
    pub fn is_worn(&self) -> bool {
        self.wear.stage() == Stage::Worn
    }

    /// Counts a use, and tells whether it is the last that it may have.
    pub fn is_last_use(&self, most: u64) -> bool {
        self.wear.take(most);
        self.is_worn()
    }

    /// Whether nothing is open on it, subscriptions included.
    pub fn is_idle(&self) -> bool {
        self.load() == 0 && self.listening() == 0
    }

    /// Has these limits count for its next requests.
    pub fn tune(&self, options: &ServeOptions) {
        let (limit, limits) = (options.max_in_flight, options.timeouts());
        self.router.flights.tune(limit, limits);
    }

    /// Subscriptions that are open on it.
    pub fn listening(&self) -> usize {
        self.router.flights.listening()
    }

    /// What else it wrote.
    pub fn counters(&self) -> Option<LineCounters> {
        self.lease.peer.counters()
    }

    /// Lines that were for nobody.
    pub fn dropped(&self) -> u64 {
        self.router.heard.dropped()
    }

    /// Sends a request and returns the call that waits for its answer.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was written, and the flight may be sent to another child. `Ok(Err(_))`: the flight
    /// is over; it may have been written, unless the fault says that it did not run.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the request may or may not have been written; its answer is dropped.
    pub async fn call(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        request: &Request<'_>,
        deadline: Deadline,
    ) -> Result<Result<Call, Fault>, Refused> {
        let own = self.router.flights.insert(flight, deadline)?;
        let patience = deadline.expires().saturating_duration_since(Instant::now());
        let mut call = Call::new(flight.clone());
        if flight.manner.is_modern() {
            let child = Arc::downgrade(self);
            call.or_else(move || {
                if let Some(child) = child.upgrade() {
                    child.give_up(own);
                }
            });
        }
        let line = self.rewritten(request, flight.manner, own);
        let written = tokio::select! {
            biased;
            written = self.writer.write(line, patience) => written,
            () = call.ended() => {
                // It is not written any more.
                let fault = call.failed().unwrap_or_else(cancelled);
                return Ok(Err(fault.not_run()));
            }
        };
        match written {
            Ok(()) => Ok(Ok(call)),
            // A child that was dead before the write has run nothing.
            Err(fault) if fault.code == Code::ChildDied => match self.router.flights.take(own) {
                Some(_) => {
                    call.release();
                    Err(Refused::Over(fault))
                }
                // Its flight ended meanwhile: with the child, or because its client cancelled it.
                None => Ok(Err(match call.failed() {
                    Some(ended) if ended.code != Code::ChildDied => ended,
                    _ => fault.not_run(),
                })),
            },
            Err(fault) => {
                self.router.flights.take(own);
                self.router.freed.notify_one();
                Ok(Err(fault))
            }
        }
    }

    /// The line with the id that the child is to know it by, as the child's revision writes it.
    fn rewritten(&self, request: &Request<'_>, manner: Manner, own: u64) -> Bytes {
        let (message, own) = (request.message, own.to_string());
        let mut splice = Splice::one(message.span(request.id), own.as_bytes());
        let older = (manner.is_modern() && self.router.is_legacy())
            .then(|| older_meta(message.params, &own))
            .flatten();
        if let Some((meta, instead)) = &older {
            splice = splice.and(message.span(meta), instead.as_bytes());
        } else if let Some(token) = request.token {
            splice = splice.and(message.span(token), own.as_bytes());
        }
        splice.apply(request.line)
    }

    /// Names it where clients carry a state or a task back.
    pub fn key(&self) -> u64 {
        self.router.key
    }

    /// Cancels the request that the child knows by this id: its client went away.
    fn give_up(&self, own: u64) {
        if let Some(flight) = self.router.flights.take(own) {
            let fault = Fault::new(Code::Cancelled, "its client went away");
            self.router
                .end_one(own, &flight, "the client went away", fault);
        }
    }

    /// Cancels the requests that this owner sent with this id.
    pub fn cancel(&self, owner: Owner, request: &RequestId) {
        for (own, flight) in self.router.flights.take_owned(owner, request) {
            self.router
                .end_one(own, &flight, "cancelled by the client", cancelled());
        }
    }

    /// Ends the requests whose time is over and tells the child so.
    pub fn expire(&self, now: Instant) {
        let expired = self.router.flights.take_expired(now);
        if !expired.is_empty() {
            self.pulse.timed_out();
        }
        for (own, flight) in expired {
            let text = "the server did not answer in time; the request was cancelled";
            self.router
                .end_one(own, &flight, "timed out", Fault::new(Code::TimedOut, text));
        }
    }

    /// Asks a silent child for a sign of life. `true`: there was none, and it is given up now.
    pub fn probe(&self, now: Instant) -> bool {
        let has_stopped = self.pulse.look(&self.router, now);
        if has_stopped {
            self.end(Fault::new(
                Code::ChildDied,
                "the server process does not answer and was ended; send the request again",
            ));
            self.router.freed.notify_waiters();
        }
        has_stopped
    }

    /// Ends it in order instead of giving it back.
    pub fn retire(&self) {
        self.router.retire();
    }

    /// Takes no more requests, unless it has one; says whether that is so.
    pub fn close_idle(&self, fault: Fault) -> bool {
        self.router.flights.close_idle(fault)
    }

    /// Ends every request with this fault and takes no more.
    pub fn end(&self, fault: Fault) {
        fail_all(self.router.flights.end(fault.clone()), &fault);
    }
}

/// What a client is told that took its request back.
pub(super) fn cancelled() -> Fault {
    let text = "the request was cancelled by its client";
    Fault::new(Code::Cancelled, text)
}

impl Drop for SharedChild {
    fn drop(&mut self) {
        if !self.is_idle() {
            // Nobody is left who would end what is open.
            let text = "the server process was let go; send the request again";
            self.end(Fault::new(Code::ChildDied, text));
        }
        // It goes back to the pool, which sees whether it is dead.
    }
}
