//! Where the lines of a shared child go.
//!
//! Promise: a client sees nothing but answers and progress of its own requests, and changes of lists
//! that concern everybody; a question that has no addressee is refused to the child.

use crate::sync::Arc;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

use crate::sync::Mutex;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::flights::Flights;
use crate::proxy::call::{Answer, Flight};
use crate::proxy::guard::is_pong;
use crate::proxy::session::SessionTable;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, Splice};
use crate::resilience::Timeouts;
use crate::transport::{Death, LineSink, LineWriter};

/// The routing of one child.
pub struct ChildRouter {
    /// Its requests in flight.
    pub flights: Flights,
    audience: Arc<SessionTable>,
    /// Gone with the child: a writer may keep its child's pipe open.
    writer: Mutex<Option<LineWriter>>,
    limits: Timeouts,
    dropped: AtomicU64,
    heard: AtomicBool,
    /// One request at a time, and a line that is not for it means that the child is not clean.
    strict: bool,
    stained: AtomicBool,
    /// Rung when a place in the table is free again, and at the child's death.
    pub freed: Arc<Notify>,
}

impl ChildRouter {
    /// A router for a child that is not spoken to yet.
    pub fn new(
        limit: usize,
        limits: Timeouts,
        audience: Arc<SessionTable>,
        freed: Arc<Notify>,
    ) -> Self {
        let (writer, dropped) = (Mutex::new(None), AtomicU64::new(0));
        Self {
            flights: Flights::new(limit),
            audience,
            writer,
            limits,
            dropped,
            heard: AtomicBool::new(false),
            strict: false,
            stained: AtomicBool::new(false),
            freed,
        }
    }

    /// A router for a child that has one request at a time.
    pub fn of_one(limits: Timeouts, audience: Arc<SessionTable>) -> Self {
        Self {
            strict: true,
            ..Self::new(1, limits, audience, Arc::new(Notify::new()))
        }
    }

    /// Whether a child that may have one request at a time did something that would meet the next one.
    pub fn is_stained(&self) -> bool {
        // Relaxed: nothing is published with it; a line that is read later is dropped all the same.
        self.stained.load(Ordering::Relaxed)
    }

    /// Marks a child that is not to have another request.
    pub fn stain(&self) {
        if self.strict {
            // Relaxed: see `is_stained`.
            self.stained.store(true, Ordering::Relaxed);
        }
    }

    /// Names the way back to the child, once it runs.
    pub fn answer_by(&self, writer: LineWriter) {
        *self.writer.lock() = Some(writer);
    }

    /// Lines that were for nobody.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count for a page.
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether it wrote anything since this was asked last.
    pub fn was_heard(&self) -> bool {
        // Relaxed: a flag on its own, for a probe that looks again soon.
        self.heard.swap(false, Ordering::Relaxed)
    }

    fn drop_line(&self) {
        // Relaxed: a count for a page.
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn on_answer(&self, line: Bytes, message: &Envelope<'_>, id: Option<&str>, is_result: bool) {
        let flight = id.and_then(own_id).and_then(|own| self.flights.take(own));
        let (Some(flight), Some(id)) = (flight, id) else {
            self.stain();
            self.drop_line();
            return;
        };
        flight.answer(Answer {
            line,
            id_span: Some(message.span(id)),
            is_result,
        });
        self.freed.notify_one();
    }

    fn on_progress(&self, line: &Bytes, message: &Envelope<'_>) {
        let Some(progress) = wire::progress_of(message.params) else {
            self.drop_line();
            return;
        };
        let flight = own_id(progress.token)
            .and_then(|own| self.flights.renew(own, &self.limits, Instant::now()));
        let Some((flight, token)) = flight
            .as_ref()
            .and_then(|flight| Some((flight, flight.token.as_ref()?)))
        else {
            self.drop_line();
            return;
        };
        let spliced = Splice::one(message.span(progress.token), token.as_bytes()).apply(line);
        if flight.relate(spliced).is_err() {
            self.drop_line();
        }
    }

    fn on_notification(&self, line: Bytes, message: &Envelope<'_>, method: &str) {
        match method {
            "notifications/progress" => self.on_progress(&line, message),
            // A log line names nobody: it may only go where nobody else could be meant.
            "notifications/message" if self.strict => {
                // It may be about the request before: nobody can be meant for sure.
                if self.flights.len() == 0 {
                    self.stain();
                }
                self.drop_line();
            }
            "notifications/message" => {
                match self.flights.sole().map(|flight| flight.relate(line)) {
                    Some(Ok(())) => {}
                    _ => self.drop_line(),
                }
            }
            _ if method.ends_with("/list_changed") => self.audience.broadcast(&line),
            _ => self.drop_line(),
        }
    }

    /// A shared child has nobody to ask.
    fn on_request(&self, id: &str, method: &str) {
        let answer: Bytes = if method == "ping" {
            [
                b"{\"jsonrpc\":\"2.0\",\"id\":",
                id.as_bytes(),
                b",\"result\":{}}",
            ]
            .concat()
            .into()
        } else {
            self.stain();
            let fault = Fault::new(
                Code::NotOffered,
                "no client can be asked on a shared server process",
            );
            fault.to_json(Some(id.as_bytes())).into()
        };
        let writer = self.writer.lock().clone();
        if let Some(writer) = writer {
            // A child that does not read its input gets no answer either.
            let _ = writer.try_write(answer);
        }
    }
}

impl LineSink for ChildRouter {
    fn on_line(&self, line: Bytes) {
        // Relaxed: see `was_heard`.
        self.heard.store(true, Ordering::Relaxed);
        let copy = line.clone();
        let Ok(message) = wire::parse(&copy) else {
            self.drop_line();
            return;
        };
        match &message.kind {
            Kind::Response { id, .. } if is_pong(*id) => {}
            Kind::Response { id, is_result } => self.on_answer(line, &message, *id, *is_result),
            Kind::Notification { method } => self.on_notification(line, &message, method),
            Kind::Request { id, method } => self.on_request(id, method),
        }
    }

    fn on_death(&self, death: &Death) {
        let fault = Fault::new(
            Code::ChildDied,
            format!("the server process is gone: {death}; send the request again"),
        );
        let lost = self.flights.end(fault.clone());
        Flight::fail_all(lost.into_iter().map(|(_, flight)| flight), &fault);
        *self.writer.lock() = None;
        self.freed.notify_waiters();
    }
}

/// Reads an id that this proxy made; a child may write it as a float.
fn own_id(raw: &str) -> Option<u64> {
    match wire::RequestId::from_raw(raw)? {
        wire::RequestId::Integer(id) => u64::try_from(id).ok(),
        _ => None,
    }
}
