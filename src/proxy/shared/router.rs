//! Where the lines of a shared child go.
//!
//! Promise: a client sees nothing but answers and progress of its own requests, changes of lists
//! that concern everybody, and of resources that it subscribed to; a question that has no addressee is refused to the child.

use crate::sync::Arc;
use crate::sync::{AtomicBool, AtomicU64, OnceLock, Ordering};

use crate::sync::Mutex;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::affinity::Affinity;
use super::flights::Flights;
use crate::proxy::call::{Answer, Flight, Manner, fail_all};
use crate::proxy::guard::{is_pong, ping};
use crate::proxy::peer::{Heard, Missed, PeerSink, PeerWriter, Stray, Stream};
use crate::proxy::session::{SessionTable, cancellation};
use crate::proxy::wire::{
    self, Changes, Code, Envelope, Fault, Kind, RequestId, Splice, subscription,
};
use crate::resilience::Timeouts;
use crate::transport::{Death, LineSink};

/// What is left to whoever waits for an answer of a child that ended.
pub const SEND_AGAIN: &str = "; send the request again";

/// The routing of one child.
pub struct ChildRouter {
    /// Its requests in flight.
    pub flights: Flights,
    audience: Arc<SessionTable>,
    /// Gone with the child: a writer may keep its child's pipe open.
    writer: Mutex<Option<PeerWriter>>,
    /// What was heard of it.
    pub heard: Heard,
    /// One request at a time, and a line that is not for it means that the child is not clean.
    strict: bool,
    /// Whether it may have had a request of a client.
    served: AtomicBool,
    stained: AtomicBool,
    /// A question for a sign of life is open: what it says may be about that.
    asked: AtomicBool,
    /// Whether it knows a handshake only: then its answers lack members of the newer revision.
    legacy: AtomicBool,
    /// The lists of whose changes it tells.
    lists: OnceLock<Changes>,
    affinity: Option<Arc<Affinity>>,
    /// Names the child in there.
    pub key: u64,
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
        static KEYS: AtomicU64 = AtomicU64::new(1);
        Self {
            flights: Flights::new(limit, limits),
            heard: Heard::counting(&audience.strays),
            audience,
            writer: Mutex::new(None),
            strict: false,
            served: AtomicBool::new(false),
            stained: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            legacy: AtomicBool::new(false),
            lists: OnceLock::new(),
            affinity: None,
            // Relaxed: only uniqueness matters.
            key: KEYS.fetch_add(1, Ordering::Relaxed),
            freed,
        }
    }

    /// Notes what its answers give clients to carry back.
    pub fn noting(mut self, affinity: Option<Arc<Affinity>>) -> Self {
        self.affinity = affinity;
        self
    }

    /// Takes no more subscriptions than this.
    pub fn listening_to(mut self, most: usize) -> Self {
        self.flights = self.flights.listening_to(most);
        self
    }

    /// Keeps what a list of tools says that the proxy asked for itself.
    pub fn note_tools(&self, result: &str) {
        self.audience.tools.note(result);
    }

    /// Says that the child knows a handshake only, and of the changes of which lists it then tells.
    pub fn set_legacy(&self, lists: Changes) {
        let _ = self.lists.set(lists);
        // Relaxed: set before the child has its first request of a client.
        self.legacy.store(true, Ordering::Relaxed);
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

    /// Whether it does.
    pub fn is_legacy(&self) -> bool {
        // Relaxed: see `set_legacy`.
        self.legacy.load(Ordering::Relaxed)
    }

    /// Says that requests of clients follow: what it wrote before is about none of them.
    pub fn serve(&self) {
        // Relaxed, both: flags on their own; what its first request leads to is read after that was written.
        self.served.store(true, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Asks it for a sign of life; a child that does not read its input gets nothing.
    pub fn ask(&self) {
        // Relaxed: see `serve`; before the question, which what it leads to is read after.
        self.asked.store(true, Ordering::Relaxed);
        self.write(ping());
    }

    /// Marks a child that nobody is to have again.
    pub fn retire(&self) {
        // Relaxed: see `is_stained`.
        self.stained.store(true, Ordering::Relaxed);
    }

    /// Marks a child that is not to have another request.
    pub fn stain(&self) {
        if self.strict {
            // Relaxed: see `is_stained`.
            self.stained.store(true, Ordering::Relaxed);
        }
    }

    /// Notes a line that answers nothing: where nothing is in flight it may be about the request before.
    fn note_unasked(&self) {
        // Relaxed, both: see `serve`.
        let is_clean = self.asked.load(Ordering::Relaxed) || !self.served.load(Ordering::Relaxed);
        if self.flights.len() == 0 && !is_clean {
            self.stain();
        }
    }

    /// Names the way back to the child, once it runs.
    pub fn answer_by(&self, writer: PeerWriter) {
        *self.writer.lock() = Some(writer);
    }

    fn on_message(&self, line: Bytes, message: &Envelope<'_>, stream: Stream<'_>) {
        match &message.kind {
            // Relaxed: see `serve`.
            Kind::Response { id, .. } if is_pong(*id) => self.asked.store(false, Ordering::Relaxed),
            Kind::Response { id, is_result } => self.on_answer(line, message, *id, *is_result),
            Kind::Notification { method } => self.on_notification(line, message, method, stream),
            Kind::Request { id, method } => {
                if let Stream::Request(asking) = stream {
                    self.on_sign(asking);
                }
                self.on_request(id, method);
            }
        }
    }

    fn on_answer(&self, line: Bytes, message: &Envelope<'_>, id: Option<&str>, is_result: bool) {
        let flight = id.and_then(own_id).and_then(|own| self.flights.take(own));
        let (Some(flight), Some(id)) = (flight, id) else {
            self.stain();
            return self.heard.drop_as(Stray::Unasked);
        };
        if let Some(affinity) = &self.affinity {
            affinity.note(&line, self.key, Instant::now());
        }
        if let (Manner::Cached, Some(result)) = (flight.manner, message.result) {
            self.audience.tools.note(result);
        }
        let answer = match (flight.manner, message.result) {
            (manner, Some(result)) if manner.is_modern() => {
                self.modern_answer(&flight, manner, message, id, result, &line)
            }
            _ => None,
        };
        flight.answer(answer.unwrap_or(Answer {
            line,
            id_span: Some(message.span(id)),
            is_result,
        }));
        self.freed.notify_one();
    }

    /// The answer with what the newer revision asks for and an older child does not write, or with the
    /// client's own tag; `None` if nothing is to be changed but the id.
    fn modern_answer(
        &self,
        flight: &Flight,
        manner: Manner,
        message: &Envelope<'_>,
        id: &str,
        result: &str,
        line: &[u8],
    ) -> Option<Answer> {
        let own = flight.id.as_bytes();
        let splice = Splice::one(message.span(id), own);
        let line = if self.is_legacy() {
            let missing = wire::missing_members(result, manner == Manner::Cached)?;
            let start = message.span(result).start + 1;
            splice.and(start..start, missing.as_bytes()).apply(line)
        } else {
            let tag =
                wire::subscription_of(Some(result)).filter(|_| manner == Manner::Listening)?;
            splice.and(message.span(tag), own).apply(line)
        };
        Some(Answer::own(line, true))
    }

    /// A message of a subscription: its tag is the id that the child knows the request by.
    fn on_subscribed(&self, line: &Bytes, message: &Envelope<'_>, tag: &str) {
        let own = own_id(tag);
        let Some((own, flight)) = own.and_then(|own| Some((own, self.flights.get(own)?))) else {
            return self.heard.drop_line();
        };
        let spliced = Splice::one(message.span(tag), flight.id.as_bytes()).apply(line);
        if flight.relate(spliced).is_err() {
            self.heard.drop_line();
            if flight.manner == Manner::Listening && flight.takes_stream {
                self.give_up(own);
            }
        }
    }

    /// Ends a subscription that missed a change: when it is begun anew, all of it is told as changed.
    fn give_up(&self, own: u64) {
        if let Some(flight) = self.flights.take(own) {
            let text = "changes came faster than they were passed on; listen again";
            self.end_one(
                own,
                &flight,
                "not read in time",
                Fault::new(Code::Busy, text),
            );
        }
    }

    /// Ends a request that was taken out, and says to the child why.
    pub fn end_one(&self, own: u64, flight: &Flight, reason: &str, fault: Fault) {
        self.stain();
        self.write_cancelled(own, reason);
        flight.fail(fault);
        self.freed.notify_one();
    }

    fn write_cancelled(&self, own: u64, reason: &str) {
        self.write(cancellation(own.to_string().as_bytes(), reason));
    }

    /// Some servers end a subscription by this instead of an answer.
    fn on_cancelled(&self, message: &Envelope<'_>) {
        let named = wire::cancelled_request(message.params);
        let own = named.and_then(|named| own_id(named.request));
        let listens = |own: &u64| {
            let flight = self.flights.get(*own);
            flight.is_some_and(|flight| flight.manner == Manner::Listening)
        };
        let own = own.filter(listens);
        let Some((own, flight)) = own.and_then(|own| Some((own, self.flights.take(own)?))) else {
            return self.heard.drop_line();
        };
        // An upstream over HTTP would be asked for it again when its stream ends.
        self.write_cancelled(own, "it was ended");
        flight.answer(Answer::own(subscription::end(&flight.id), true));
    }

    fn on_progress(&self, line: &Bytes, message: &Envelope<'_>) {
        let Some(progress) = wire::progress_of(message.params) else {
            self.heard.drop_line();
            return;
        };
        let flight = own_id(progress.token).and_then(|own| self.flights.renew(own, Instant::now()));
        let Some((flight, token)) = flight
            .as_ref()
            .and_then(|flight| Some((flight, flight.token.as_ref()?)))
        else {
            self.heard.drop_line();
            return;
        };
        let spliced = Splice::one(message.span(progress.token), token.as_bytes()).apply(line);
        if flight.relate(spliced).is_err() {
            self.heard.drop_line();
        }
    }

    /// A log line names nobody: it may only go where nobody else could be meant, whatever the child was asked before.
    fn on_log(&self, line: Bytes, stream: Stream<'_>) {
        let flight = match stream {
            Stream::Request(id) => self.related(id),
            Stream::Only if !self.strict => self.flights.sole(),
            // It may be about the request before.
            Stream::Only | Stream::Session => None,
        };
        if flight.is_none_or(|flight| flight.relate(line).is_err()) {
            self.heard.drop_line();
        }
    }

    /// The request whose stream a message came on, which is a sign of its answer; a subscription's brings changes
    /// alone.
    fn related(&self, id: &RequestId) -> Option<Arc<Flight>> {
        let flight = self.flights.renew(own_of(id)?, Instant::now())?;
        (flight.manner != Manner::Listening).then_some(flight)
    }

    fn on_notification(
        &self,
        line: Bytes,
        message: &Envelope<'_>,
        method: &str,
        stream: Stream<'_>,
    ) {
        if method == "notifications/cancelled" {
            return self.on_cancelled(message);
        }
        if let Some(tag) = wire::subscription_of(message.params) {
            return self.on_subscribed(&line, message, tag);
        }
        match method {
            "notifications/progress" => self.on_progress(&line, message),
            "notifications/message" => self.on_log(line, stream),
            "notifications/resources/updated" => {
                let subscribers = &self.audience.subscribers;
                let uri = wire::resource_uri(message.params);
                if !uri.is_some_and(|uri| subscribers.tell(&uri, self.key, &line)) {
                    self.heard.drop_line();
                }
            }
            _ if method.ends_with("/list_changed") => {
                if !matches!(stream, Stream::Session) {
                    self.note_unasked();
                }
                self.audience.tell_of_list(&line, method);
            }
            _ => self.heard.drop_line(),
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
        self.write(answer);
    }

    /// A child that does not read its input gets nothing.
    fn write(&self, line: Bytes) {
        let writer = self.writer.lock().clone();
        if let Some(writer) = writer {
            writer.try_write(line);
        }
    }
}

impl LineSink for ChildRouter {
    fn on_line(&self, line: Bytes) {
        self.on_line_of(line, Stream::Only);
    }

    fn on_death(&self, death: &Death) {
        let text = format!("the server process is gone: {death}{SEND_AGAIN}");
        self.end(Fault::new(Code::ChildDied, text));
    }
}

impl PeerSink for ChildRouter {
    fn on_line_of(&self, line: Bytes, stream: Stream<'_>) {
        // What a session says on its own stream is about no request.
        let may_stain =
            self.strict && self.flights.len() == 0 && !matches!(stream, Stream::Session);
        let dropped = self.heard.dropped();
        self.heard.line(
            line,
            &|line, message| self.on_message(line, message, stream),
            &|id, fault| {
                self.stain();
                self.fail(id, fault);
            },
        );
        if may_stain && self.heard.dropped() != dropped {
            self.note_unasked();
        }
    }

    fn on_sign(&self, id: &RequestId) {
        if let Some(flight) = self.related(id) {
            flight.lives();
        }
    }

    fn on_fault(&self, id: &RequestId, mut fault: Fault) {
        if !fault.is_silence() {
            self.heard.sign(); // a refusal is one; that nobody takes a connection is none
        }
        if fault.code == Code::SessionEnded {
            // The session is this proxy's own: its clients have nothing to do with it.
            fault.code = Code::ChildDied;
        }
        self.fail(id, fault);
    }

    fn on_gap(&self, missed: Missed) {
        self.audience.subscribers.announce_all(self.key);
        if let Some(tells) = self
            .lists
            .get()
            .filter(|_| missed == Missed::UpdatesAndLists)
        {
            self.audience.miss(*tells, Instant::now());
        }
    }

    fn on_lost(&self, reason: &str) -> bool {
        let text = format!("{reason}{SEND_AGAIN}");
        // Each request that is under way is told by the upstream itself that it was not looked at.
        self.flights.close(Fault::new(Code::ChildDied, text));
        self.freed.notify_waiters();
        true
    }

    fn on_over(&self, reason: &str) {
        let text = format!("{reason}{SEND_AGAIN}");
        self.end(Fault::new(Code::ChildDied, text));
    }
}

impl ChildRouter {
    /// Ends the request that the child knows by this id.
    fn fail(&self, id: &RequestId, fault: Fault) {
        if let Some(flight) = own_of(id).and_then(|own| self.flights.take(own)) {
            flight.fail(fault);
            self.freed.notify_one();
        }
    }

    /// Ends its requests with this fault, and takes no more.
    fn end(&self, fault: Fault) {
        fail_all(self.flights.end(fault.clone()), &fault);
        *self.writer.lock() = None;
        self.freed.notify_waiters();
    }
}

/// Reads an id that this proxy made; a child may write it as a float.
fn own_id(raw: &str) -> Option<u64> {
    own_of(&RequestId::from_raw(raw)?)
}

fn own_of(id: &RequestId) -> Option<u64> {
    match id {
        RequestId::Integer(own) => u64::try_from(*own).ok(),
        _ => None,
    }
}
