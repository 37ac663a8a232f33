//! Where the lines of a session's own child go: to the request that they answer, to a stream, nowhere.
//!
//! Promise: bytes are passed on as they are; an answer nobody waits for is dropped; when the child
//! dies, every waiting request learns so at once. While somebody is asked, and could have seen the question, no
//! request times out, up to the time that a whole call has.

use crate::sync::Arc;
use crate::sync::{AtomicBool, Ordering};

use crate::sync::Mutex;
use bytes::Bytes;
use tokio::time::Instant;

use super::Outbox;
use super::questions::Questions;
use crate::proxy::call::{Answer, Flight, Manner, fail_all};
use crate::proxy::guard::is_pong;
use crate::proxy::peer::{Heard, PeerSink, Stray, Strays, Stream};
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RequestId};
use crate::resilience::{Deadline, Timeouts};
use crate::transport::{Death, LineSink};

/// The tables of one session.
#[derive(Debug)]
pub struct Routes {
    tables: Mutex<Tables>,
    /// The way out for what belongs to no request.
    pub outbox: Outbox,
    limits: Timeouts,
    /// What was heard of the child.
    pub heard: Heard,
    unasked: AtomicBool,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Tables {
    /// Oldest first; few, so a scan is faster than a hash.
    flights: Vec<Entry>,
    /// The child's own requests that the client has not answered.
    asked: Questions,
    end: Option<Fault>,
}

#[derive(Debug)]
struct Entry {
    id: RequestId,
    flight: Arc<Flight>,
    deadline: Deadline,
}

impl Routes {
    /// Empty tables for requests with these limits.
    pub fn new(limits: Timeouts, strays: &Arc<Strays>) -> Arc<Self> {
        Arc::new(Self {
            tables: Mutex::default(),
            outbox: Outbox::default(),
            limits,
            heard: Heard::counting(strays),
            unasked: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Puts a request into the table, before it is written.
    ///
    /// # Errors
    ///
    /// A fault if its id is in flight, too many are, or the child is dead.
    pub fn insert(
        &self,
        flight: &Arc<Flight>,
        deadline: Deadline,
        limit: usize,
    ) -> Result<(), Fault> {
        let Some(id) = flight.id.value() else {
            return Err(Fault::new(
                Code::BadMessage,
                "an id is a string or a number",
            ));
        };
        let mut tables = self.tables.lock();
        if let Some(fault) = &tables.end {
            return Err(fault.clone());
        }
        if tables.flights.iter().any(|entry| entry.id == id) {
            return Err(Fault::new(
                Code::BadMessage,
                "a request with this id is in flight in this session; use another id",
            ));
        }
        if tables.flights.len() >= limit {
            return Err(Fault::new(
                Code::Busy,
                format!("{limit} requests of this session are in flight; wait for one"),
            ));
        }
        let mut entry = Entry {
            id,
            flight: flight.clone(),
            deadline,
        };
        if !tables.asked.is_empty() && tables.asked.are_seen(&self.outbox) {
            entry.deadline.pause(Instant::now());
        }
        tables.flights.push(entry);
        Ok(())
    }

    /// Takes a request out of the table.
    pub fn remove(&self, id: &RequestId) -> Option<Arc<Flight>> {
        let mut tables = self.tables.lock();
        let at = tables.flights.iter().position(|entry| entry.id == *id)?;
        Some(tables.flights.remove(at).flight)
    }

    /// Whether the request with this id is the session's first.
    pub fn is_handshake(&self, id: &RequestId) -> bool {
        let tables = self.tables.lock();
        let mut flights = tables.flights.iter();
        let named = flights.find(|entry| entry.id == *id);
        named.is_some_and(|entry| entry.flight.manner == Manner::Handshake)
    }

    /// Whether the child waits for an answer with this id; it does no longer afterwards.
    pub fn take_asked(&self, id: &RequestId) -> bool {
        let mut tables = self.tables.lock();
        let was_asked = tables.asked.take(id);
        if was_asked {
            // The child goes on where a person's answer held it up: its clocks start again.
            tables.resume(&self.limits, &self.outbox);
        }
        was_asked
    }

    /// Notes that the child did not get the answer that was taken for it: it still waits.
    pub fn ask_again(&self, id: RequestId) {
        let (mut tables, now) = (self.tables.lock(), Instant::now());
        if tables.end.is_none() {
            tables.asked.add(id, None, now + self.limits.overall);
            tables.pause(now);
        }
    }

    /// Takes out the requests whose time is over. While the child waits for its client only their
    /// whole time runs; for a question that is as old as that they wait no longer.
    pub fn expired(&self, now: Instant) -> Vec<Arc<Flight>> {
        let mut tables = self.tables.lock();
        let mut is_asking = false;
        if !tables.asked.is_empty() {
            // Seen or not: a server that waits for an answer is not to blame for what hangs on it.
            is_asking = tables.asked.are_awaited();
            if tables.asked.give_up(now) {
                tables.resume(&self.limits, &self.outbox);
            }
            if tables.asked.are_seen(&self.outbox) {
                tables.pause(now); // it may have been handed out just now
            }
        }
        if tables
            .flights
            .iter()
            .all(|entry| entry.deadline.expires() > now)
        {
            return Vec::new();
        }
        let is_over = |entry: &mut Entry| entry.deadline.expires() <= now;
        let expired: Vec<_> = tables.flights.extract_if(.., is_over).collect();
        drop(tables);
        let expired = expired.into_iter().map(|entry| entry.flight);
        expired
            .inspect(|flight| {
                if is_asking {
                    flight.excuse(); // its client was slow to answer, not the child
                }
            })
            .collect()
    }

    /// Ends every request with this fault and takes no more.
    pub fn end(&self, fault: Fault) {
        let mut tables = self.tables.lock();
        let flights = std::mem::take(&mut tables.flights);
        tables.asked.clear();
        tables.end.get_or_insert_with(|| fault.clone());
        // Release: pairs with the Acquire in `is_over`.
        self.over.store(true, Ordering::Release);
        drop(tables);
        fail_all(flights.into_iter().map(|entry| entry.flight), &fault);
        self.outbox.close();
    }

    /// Whether the child is dead or the session ended.
    pub fn is_over(&self) -> bool {
        // Acquire: pairs with the Release in `end`; who sees it finds the tables emptied.
        self.over.load(Ordering::Acquire)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.tables.lock().flights.len()
    }

    fn on_message(&self, line: Bytes, message: &Envelope<'_>, stream: Stream<'_>) {
        match &message.kind {
            Kind::Response { id, .. } if is_pong(*id) => {}
            Kind::Response { id, is_result } => {
                self.on_answer(line, id.and_then(RequestId::from_raw), *is_result)
            }
            Kind::Request { id, .. } => self.on_request(line, id, stream),
            Kind::Notification { method } => self.on_notification(line, message, method, stream),
        }
    }

    fn on_answer(&self, line: Bytes, id: Option<RequestId>, is_result: bool) {
        let known = id.and_then(|id| self.remove(&id));
        match known {
            Some(flight) => {
                _ = flight.answer(Answer {
                    line,
                    id_span: None,
                    is_result,
                })
            }
            None => self.heard.drop_as(Stray::Unasked),
        }
    }

    fn on_progress(&self, line: Bytes, token: Option<RequestId>) {
        let mut tables = self.tables.lock();
        let asked_for = |entry: &&mut Entry| {
            token.is_some() && entry.flight.token.as_ref().and_then(|token| token.value()) == token
        };
        let flight = tables.flights.iter_mut().find(asked_for).map(|entry| {
            entry.deadline.progress(&self.limits, Instant::now());
            entry.flight.clone()
        });
        drop(tables);
        match flight {
            Some(flight) => {
                if let Err(line) = flight.relate(line) {
                    self.outbox.send(line);
                }
            }
            None => self.heard.drop_line(),
        }
    }

    /// A message that names no request: it goes with the one whose stream brought it, or, of a child, with the only
    /// one in flight if it may belong to it, else to the session's own stream, where there is none to the next.
    fn on_unnamed(&self, line: Bytes, stream: Stream<'_>, may_relate: bool) {
        if let Err(line) = self.send_now(line, stream, may_relate) {
            self.outbox.send(line);
        }
    }

    /// The same, given back where nothing takes it now.
    fn send_now(&self, line: Bytes, stream: Stream<'_>, may_relate: bool) -> Result<(), Bytes> {
        if let Stream::Request(id) = stream {
            self.on_sign(id);
        }
        let (related, oldest) = self.candidates(stream, may_relate);
        let line = match related.map_or(Err(line.clone()), |flight| flight.relate(line)) {
            Ok(()) => return Ok(()),
            Err(line) => line,
        };
        let line = match self.outbox.send_now(line) {
            Ok(()) => return Ok(()),
            Err(line) => line,
        };
        oldest.map_or(Err(line.clone()), |flight| flight.relate(line))
    }

    /// The request that a message goes with, and the one that may see it where nothing else takes it.
    fn candidates(
        &self,
        stream: Stream<'_>,
        may_relate: bool,
    ) -> (Option<Arc<Flight>>, Option<Arc<Flight>>) {
        let tables = self.tables.lock();
        let flights = tables.flights.iter();
        let mut open = flights.filter(|entry| may_relate && entry.takes_stream());
        let (first, is_sole) = (open.next(), open.next().is_none());
        let related = match stream {
            Stream::Only => first.filter(|_| is_sole),
            Stream::Request(id) => tables.flights.iter().find(|entry| entry.id == *id),
            Stream::Session => None,
        };
        let flight = |entry: &Entry| entry.flight.clone();
        (related.map(flight), first.map(flight))
    }

    /// Drops what the child asks from now on.
    pub fn drop_questions(&self) {
        // Relaxed: set before the first line is written to the child.
        self.unasked.store(true, Ordering::Relaxed);
    }

    fn on_request(&self, line: Bytes, id: &str, stream: Stream<'_>) {
        // Relaxed: see `drop_questions`.
        if self.unasked.load(Ordering::Relaxed) {
            return self.heard.drop_line();
        }
        let Some(id) = RequestId::from_raw(id) else {
            return;
        };
        let now = Instant::now();
        // Before anybody sees it: who answers at once is known.
        let kept = self.outbox.handed();
        let mut tables = self.tables.lock();
        let until = now + self.limits.overall;
        tables.asked.add(id.clone(), Some(kept), until);
        drop(tables);
        if let Err(line) = self.send_now(line, stream, true) {
            // Nobody can answer before a stream brings it; until then the clocks run.
            return self.outbox.send(line);
        }
        let mut tables = self.tables.lock();
        if tables.asked.note_seen(&id) {
            tables.pause(now);
        }
    }

    fn on_notification(
        &self,
        line: Bytes,
        message: &Envelope<'_>,
        method: &str,
        stream: Stream<'_>,
    ) {
        match method {
            "notifications/progress" => {
                let token = wire::progress_of(message.params)
                    .and_then(|named| RequestId::from_raw(named.token));
                self.on_progress(line, token);
            }
            "notifications/cancelled" => {
                if let Some(id) = wire::cancelled_request(message.params)
                    .and_then(|named| RequestId::from_raw(named.request))
                {
                    self.take_asked(&id);
                }
                self.on_unnamed(line, stream, true);
            }
            "notifications/message" => self.on_unnamed(line, stream, true),
            _ => self.on_unnamed(line, stream, false),
        }
    }
}

impl Entry {
    /// Whether its client takes a message before the answer.
    fn takes_stream(&self) -> bool {
        self.flight.takes_stream && self.flight.is_awaited()
    }
}

impl Tables {
    /// Stops the clocks, but for those of whole calls.
    fn pause(&mut self, now: Instant) {
        for entry in &mut self.flights {
            entry.deadline.pause(now);
        }
    }

    /// Lets the clocks go on, once nobody is asked for anything.
    fn resume(&mut self, limits: &Timeouts, outbox: &Outbox) {
        if !self.asked.are_seen(outbox) {
            let now = Instant::now();
            for entry in &mut self.flights {
                entry.deadline.resume(limits, now);
            }
        }
    }
}

impl PeerSink for Routes {
    fn on_line_of(&self, line: Bytes, stream: Stream<'_>) {
        self.heard.line(
            line,
            &|line, message| self.on_message(line, message, stream),
            &|id, fault| self.on_fault(id, fault),
        );
    }

    fn on_sign(&self, id: &RequestId) {
        let mut tables = self.tables.lock();
        let entry = tables.flights.iter_mut().find(|entry| entry.id == *id);
        if let Some(entry) = entry {
            entry.deadline.progress(&self.limits, Instant::now());
        }
    }

    fn on_fault(&self, id: &RequestId, fault: Fault) {
        self.heard.sign(); // a refusal is one, too
        if let Some(flight) = self.remove(id) {
            flight.fail(fault);
        }
    }

    fn on_over(&self, reason: &str) {
        let text = format!("{reason}; initialize a new session");
        self.end(Fault::new(Code::SessionEnded, text));
    }
}

impl LineSink for Routes {
    fn on_line(&self, line: Bytes) {
        self.on_line_of(line, Stream::Only);
    }

    fn on_death(&self, death: &Death) {
        // Relaxed: see `drop_questions`.
        let text = match self.unasked.load(Ordering::Relaxed) {
            true => format!("the server process is gone: {death}; send the request again"),
            false => format!(
                "the server process of this session is gone: {death}; initialize a new session"
            ),
        };
        self.end(Fault::new(Code::ChildDied, text));
    }
}
