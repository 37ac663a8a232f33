//! Where the lines of a session's own child go: to the request that they answer, to a stream, nowhere.
//!
//! Promise: bytes are passed on as they are; an answer nobody waits for is dropped; when the child
//! dies, every waiting request learns so at once.

use crate::sync::Arc;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

use crate::sync::Mutex;
use bytes::Bytes;
use tokio::time::Instant;

use super::Outbox;
use crate::proxy::call::{Answer, Flight, fail_all};
use crate::proxy::guard::is_pong;
use crate::proxy::peer::PeerSink;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RequestId};
use crate::resilience::{Deadline, Timeouts};
use crate::transport::{Death, LineSink};

/// Requests of a child to its client that may be open.
const MAX_ASKED: usize = 256;

/// The tables of one session.
#[derive(Debug)]
pub struct Routes {
    tables: Mutex<Tables>,
    /// The way out for what belongs to no request.
    pub outbox: Outbox,
    limits: Timeouts,
    heard: AtomicBool,
    unasked: AtomicBool,
    over: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Tables {
    /// Oldest first; few, so a scan is faster than a hash.
    flights: Vec<Entry>,
    /// The child's own requests that the client has not answered.
    asked: Vec<Question>,
    end: Option<Fault>,
}

/// A request of the child.
#[derive(Debug)]
struct Question {
    id: RequestId,
    since: Instant,
    /// It waits for a stream that would bring it.
    is_kept: bool,
    /// The clocks of requests stand still for it.
    stops_clocks: bool,
}

#[derive(Debug)]
struct Entry {
    id: RequestId,
    flight: Arc<Flight>,
    deadline: Deadline,
}

impl Routes {
    /// Empty tables for requests with these limits.
    pub fn new(limits: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            tables: Mutex::default(),
            outbox: Outbox::default(),
            limits,
            heard: AtomicBool::new(false),
            unasked: AtomicBool::new(false),
            over: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
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
        if tables.is_asking() {
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

    /// Whether the child waits for an answer with this id; it does no longer afterwards.
    pub fn take_asked(&self, id: &RequestId) -> bool {
        let mut tables = self.tables.lock();
        let Some(at) = tables.asked.iter().position(|asked| asked.id == *id) else {
            return false;
        };
        tables.asked.swap_remove(at);
        // The child goes on where a person's answer held it up: its clocks start again.
        tables.resume(&self.limits);
        true
    }

    /// The child waits for this answer after all: it was taken, and could not be written.
    pub fn ask_again(&self, id: RequestId) {
        self.tables.lock().ask(id);
    }

    /// Takes out the requests whose time is over. While the child waits for its client only their
    /// whole time runs: not for longer than a call may take, nor for a question that nobody was there to hear.
    pub fn expired(&self, now: Instant) -> Vec<Arc<Flight>> {
        let mut tables = self.tables.lock();
        let is_asking = tables.is_asking();
        let is_over = |entry: &mut Entry| entry.deadline.expires() <= now;
        let expired: Vec<_> = tables.flights.extract_if(.., is_over).collect();
        if is_asking && tables.give_up_questions(&self.limits, &self.outbox, now) {
            tables.resume(&self.limits);
        }
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

    /// Whether the child wrote anything since this was asked last.
    pub fn was_heard(&self) -> bool {
        // Relaxed: a flag on its own, for a probe that looks again soon.
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.tables.lock().flights.len()
    }

    /// Lines that were for nobody.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count for a page.
        self.dropped.load(Ordering::Relaxed)
    }

    fn drop_line(&self) {
        // Relaxed: a count for a page.
        self.dropped.fetch_add(1, Ordering::Relaxed);
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
            None => self.drop_line(),
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
            None => self.drop_line(),
        }
    }

    /// A message that names no request: it goes with the only request in flight if it may belong to
    /// it, else to the session's own stream. `false`: it waits for one.
    fn on_unnamed(&self, line: Bytes, may_relate: bool) -> bool {
        let (sole, oldest) = self.candidates(may_relate);
        let line = match sole.map_or(Err(line.clone()), |flight| flight.relate(line)) {
            Ok(()) => return true,
            Err(line) => line,
        };
        let line = match self.outbox.send_now(line) {
            Ok(()) => return true,
            Err(line) => line,
        };
        let line = match oldest.map_or(Err(line.clone()), |flight| flight.relate(line)) {
            Ok(()) => return true,
            Err(line) => line,
        };
        self.outbox.send(line);
        false
    }

    fn candidates(&self, may_relate: bool) -> (Option<Arc<Flight>>, Option<Arc<Flight>>) {
        if !may_relate {
            return (None, None);
        }
        let tables = self.tables.lock();
        let mut open = tables
            .flights
            .iter()
            .map(|entry| &entry.flight)
            .filter(|flight| flight.takes_stream && flight.is_awaited());
        match (open.next(), open.next()) {
            (first, None) => (first.cloned(), None),
            (first, Some(_)) => (None, first.cloned()),
        }
    }

    /// Drops what the child asks from now on.
    pub fn drop_questions(&self) {
        // Relaxed: set before the first line is written to the child.
        self.unasked.store(true, Ordering::Relaxed);
    }

    fn on_request(&self, line: Bytes, id: &str) {
        // Relaxed: see `drop_questions`.
        if self.unasked.load(Ordering::Relaxed) {
            return self.drop_line();
        }
        let Some(id) = RequestId::from_raw(id) else {
            return;
        };
        // Before it can be answered.
        self.tables.lock().ask(id.clone());
        if !self.on_unnamed(line, true) {
            let mut tables = self.tables.lock();
            let asked = tables.asked.iter_mut().find(|asked| asked.id == id);
            if let Some(asked) = asked {
                asked.is_kept = true;
            }
        }
    }

    fn on_notification(&self, line: Bytes, message: &Envelope<'_>, method: &str) {
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
                _ = self.on_unnamed(line, true);
            }
            "notifications/message" => _ = self.on_unnamed(line, true),
            _ => _ = self.on_unnamed(line, false),
        }
    }
}

impl Tables {
    /// Whether its client is asked for something that may take it long.
    fn is_asking(&self) -> bool {
        self.asked.iter().any(|asked| asked.stops_clocks)
    }

    /// Notes a question, and stops the clocks.
    fn ask(&mut self, id: RequestId) {
        if self.asked.len() >= MAX_ASKED {
            // The oldest is given up: a late answer to it is dropped.
            self.asked.remove(0);
        }
        let now = Instant::now();
        self.asked.push(Question {
            id,
            since: now,
            is_kept: false,
            stops_clocks: true,
        });
        for entry in &mut self.flights {
            entry.deadline.pause(now);
        }
    }

    /// Has no clock stand still any more for what is not answered; tells whether there was such a question. A late
    /// answer is taken all the same.
    fn give_up_questions(&mut self, limits: &Timeouts, outbox: &Outbox, now: Instant) -> bool {
        let mut given_up = false;
        for asked in self.asked.iter_mut().filter(|asked| asked.stops_clocks) {
            let age = now.saturating_duration_since(asked.since);
            let is_unheard = asked.is_kept && age >= limits.request && !outbox.has_stream();
            if is_unheard || age >= limits.overall {
                asked.stops_clocks = false;
                given_up = true;
            }
        }
        given_up
    }

    /// Lets the clocks go on, once nobody is asked for anything.
    fn resume(&mut self, limits: &Timeouts) {
        if !self.is_asking() {
            let now = Instant::now();
            for entry in &mut self.flights {
                entry.deadline.resume(limits, now);
            }
        }
    }
}

impl PeerSink for Routes {
    fn on_fault(&self, id: &RequestId, fault: Fault) {
        // Relaxed: see `was_heard`. A refusal is a sign of life, too.
        self.heard.store(true, Ordering::Relaxed);
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
        // Relaxed: see `was_heard`.
        self.heard.store(true, Ordering::Relaxed);
        let copy = line.clone();
        let Ok(message) = wire::parse(&copy) else {
            self.drop_line();
            return;
        };
        match &message.kind {
            Kind::Response { id, .. } if is_pong(*id) => {}
            Kind::Response { id, is_result } => {
                self.on_answer(line, id.and_then(RequestId::from_raw), *is_result)
            }
            Kind::Request { id, .. } => self.on_request(line, id),
            Kind::Notification { method } => self.on_notification(line, &message, method),
        }
    }

    fn on_death(&self, death: &Death) {
        self.end(Fault::new(
            Code::ChildDied,
            format!(
                "the server process of this session is gone: {death}; initialize a new session"
            ),
        ));
    }
}
