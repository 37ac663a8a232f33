//! One request on its way: the flight is the child's side of it, the call the client's.
//!
//! Promise: a flight gets one end; a call that is dropped leaves its flight in the table, so that a
//! late answer is recognized and thrown away. A client that goes away cancels nothing by that.

use crate::sync::{Arc, Mutex};
use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Inbox, Item};
use crate::proxy::guard::Ticket;
use crate::proxy::wire::{Fault, RawId, RequestId, Splice};
use crate::resilience::Outcome;

/// Who sent a request: a session's key, or nobody that could be named again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A request outside any session.
    Nobody,
    /// The session with this key.
    Session(u64),
}

/// What a request's revision asks of its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// A revision with a handshake: a client that goes away cancels nothing.
    #[default]
    Legacy,
    /// The first request of such a revision, which is not taken back.
    Handshake,
    /// The revision without sessions: a client that goes away cancels.
    Modern,
    /// The same, and the answer says how long it may be kept.
    Cached,
    /// The same as [`Modern`](Self::Modern); it is answered by messages with a tag, without end.
    Listening,
}

impl Manner {
    /// Whether it is of the revision without sessions.
    pub fn is_modern(self) -> bool {
        !matches!(self, Self::Legacy | Self::Handshake)
    }
}

/// The child's side of one request.
#[derive(Debug)]
pub struct Flight {
    /// The id as the client wrote it.
    pub id: RawId,
    /// The progress token as the client wrote it.
    pub token: Option<RawId>,
    /// Who sent it.
    pub owner: Owner,
    /// Whether the client takes messages before the answer.
    pub takes_stream: bool,
    /// What its revision asks for.
    pub manner: Manner,
    inbox: Inbox<Result<Answer, Fault>>,
    ticket: Option<Ticket>,
    /// The client's request that this one is sent for: its end is reported as that one's.
    front: Option<Arc<Flight>>,
    hold: Mutex<Hold>,
}

/// What a request keeps until its end.
enum Hold {
    Nothing,
    #[expect(dead_code, reason = "kept to be dropped")]
    Kept(Box<dyn Send>),
    Ended,
}

/// The child's response, still with the id that the child saw.
#[derive(Debug)]
pub struct Answer {
    /// The line.
    pub line: Bytes,
    /// Where in it the client's id belongs, if the child saw another one.
    pub id_span: Option<Range<usize>>,
    /// Whether it is a result, not an error.
    pub is_result: bool,
}

impl Answer {
    /// One with the client's own id.
    pub fn own(line: Bytes, is_result: bool) -> Self {
        Self {
            line,
            id_span: None,
            is_result,
        }
    }
}

/// What a call yields next.
#[derive(Debug)]
pub enum Step {
    /// A message that belongs to the request and comes before its answer.
    Related(Bytes),
    /// The response, ready to be sent; the last step.
    Answer {
        /// Its bytes, with the client's own id.
        message: Bytes,
        /// Whether it is a result, not an error.
        is_result: bool,
    },
    /// There will be no response; the last step.
    Fault(Fault),
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Kept(_) => "kept",
            Self::Ended => "ended",
        })
    }
}

impl Flight {
    /// A request that is about to be written.
    pub fn new(id: RawId, token: Option<RawId>, owner: Owner, takes_stream: bool) -> Arc<Self> {
        Self::admitted(id, token, owner, takes_stream, Manner::Legacy, None)
    }

    /// A request that the upstream's breaker let in: its end is reported there.
    pub fn admitted(
        id: RawId,
        token: Option<RawId>,
        owner: Owner,
        takes_stream: bool,
        manner: Manner,
        ticket: Option<Ticket>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            token,
            owner,
            takes_stream,
            manner,
            inbox: Inbox::default(),
            ticket,
            front: None,
            hold: Mutex::new(Hold::Nothing),
        })
    }

    /// A request of the proxy's own that is sent for a client's.
    pub fn behind(front: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self {
            id: front.id.clone(),
            token: None,
            owner: front.owner,
            takes_stream: false,
            manner: Manner::Legacy,
            inbox: Inbox::default(),
            ticket: None,
            front: Some(front.clone()),
            hold: Mutex::new(Hold::Nothing),
        })
    }

    /// Keeps something until the end of the request; drops it at once where that was.
    pub fn hold(&self, kept: Box<dyn Send>) {
        let mut hold = self.hold.lock();
        let unused = if matches!(*hold, Hold::Ended) {
            Hold::Kept(kept)
        } else {
            std::mem::replace(&mut *hold, Hold::Kept(kept))
        };
        drop(hold);
        drop(unused); // a drop may do anything
    }

    fn let_go(&self) {
        let kept = std::mem::replace(&mut *self.hold.lock(), Hold::Ended);
        drop(kept);
    }

    /// Notes a sign that the answer is on its way.
    pub fn lives(&self) {
        if let Some(ticket) = self.ticket() {
            ticket.lives();
        }
    }

    /// Passes on a message that comes before the answer; gives it back if the client cannot take it.
    pub fn relate(&self, message: Bytes) -> Result<(), Bytes> {
        self.lives();
        if !self.takes_stream {
            return Err(message);
        }
        self.inbox.push(message)
    }

    /// Ends it with the child's answer.
    pub fn answer(&self, answer: Answer) -> bool {
        self.report(Outcome::Success);
        let taken = self.inbox.finish(Ok(answer));
        self.let_go();
        taken
    }

    /// Ends it without an answer.
    pub fn fail(&self, fault: Fault) -> bool {
        self.report_fault(&fault);
        let taken = self.inbox.finish(Err(fault));
        self.let_go();
        taken
    }

    /// What comes of it says nothing of the upstream.
    pub fn excuse(&self) {
        self.report(Outcome::Abandoned); // only the first report counts
    }

    fn report(&self, outcome: Outcome) {
        if let Some(ticket) = self.ticket() {
            ticket.end(outcome);
        }
    }

    fn report_fault(&self, fault: &Fault) -> bool {
        self.ticket().is_some_and(|ticket| ticket.fail(fault))
    }

    fn ticket(&self) -> Option<&Ticket> {
        match &self.front {
            None => self.ticket.as_ref(),
            Some(front) => front.ticket.as_ref(),
        }
    }

    /// Whether this owner sent it with this id.
    pub fn is_of(&self, owner: Owner, request: &RequestId) -> bool {
        self.owner == owner && self.id.value().as_ref() == Some(request)
    }

    /// Whether somebody still waits for it.
    pub fn is_awaited(&self) -> bool {
        self.inbox.is_open()
    }
}

/// Ends requests with what ended the child that they share: for the breaker that is one failure.
pub fn fail_all(flights: impl IntoIterator<Item = Arc<Flight>>, fault: &Fault) {
    let mut is_told = false;
    for flight in flights {
        if is_told {
            flight.excuse();
        }
        is_told |= flight.report_fault(fault);
        flight.fail(fault.clone());
    }
}

/// The client's side of one request.
pub struct Call {
    flight: Arc<Flight>,
    /// The flight goes on without it.
    released: bool,
    leave: Option<Leave>,
}

/// What is done for a client that goes away before the end of its call.
type Leave = Box<dyn FnOnce() + Send + Sync>;

impl Call {
    /// Waits for what the flight brings.
    pub fn new(flight: Arc<Flight>) -> Self {
        Self {
            flight,
            released: false,
            leave: None,
        }
    }

    /// Ends it, but not its flight, which was not sent and may be with another call.
    pub fn release(mut self) {
        self.released = true;
        self.leave = None;
    }

    /// The fault that its flight ended with already, if it did.
    pub fn failed(&mut self) -> Option<Fault> {
        loop {
            match self.poll_step(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Step::Related(_)) => {}
                Poll::Ready(Step::Fault(fault)) => return Some(fault),
                _ => return None,
            }
        }
    }

    /// Waits for the end of its flight, which stays to be read.
    pub async fn ended(&self) {
        poll_fn(|cx| self.flight.inbox.poll_end(cx)).await;
    }

    /// Has this done if it is dropped before its end.
    pub fn or_else(&mut self, leave: impl FnOnce() + Send + Sync + 'static) {
        self.leave = Some(Box::new(leave));
    }

    /// The id as the client wrote it.
    pub fn id(&self) -> &RawId {
        &self.flight.id
    }

    /// The next step; none follows an answer or a fault.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let polled = self.flight.inbox.poll(cx);
        if let Poll::Ready(Item::End(_)) = polled {
            self.leave = None;
        }
        polled.map(|item| match item {
            Item::Message(message) => Step::Related(message),
            Item::End(Err(fault)) => Step::Fault(fault),
            Item::End(Ok(answer)) => Step::Answer {
                is_result: answer.is_result,
                message: match answer.id_span {
                    Some(span) => Splice::one(span, self.flight.id.as_bytes()).apply(&answer.line),
                    None => answer.line,
                },
            },
        })
    }

    /// Waits for the next step.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn step(&mut self) -> Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        self.flight.inbox.leave();
        if let Some(leave) = self.leave.take() {
            leave();
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Call").field(&self.flight).finish()
    }
}
