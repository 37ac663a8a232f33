//! The event streams of one session, kept so that a client whose connection broke may come back to one.
//!
//! Promise: an event's id names its stream and its place there; who comes back gets what came after that
//! place, in order and once, and the old reader of the stream gets nothing more. What is kept is bounded, of a
//! session and of all: the oldest goes first. A stream that lost what a client asks for goes on behind that if it is a
//! request's, up to the answer, or an error where that was lost, too; the session's is not resumed.
//! Cost: one short lock an event; nothing is allocated for a session that never streams.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::Outbox;
use super::outbox::alone;
use super::room::{Room, Share};
use crate::proxy::http::Source;
use crate::proxy::wire::{Code, Fault, RawId};
use crate::sync::{Arc, Mutex};

/// Streams that one session keeps; of more, the oldest that ended goes, else the oldest.
const MAX_STREAMS: usize = 16;
/// Events that one stream keeps.
const MAX_EVENTS: usize = 256;
/// Their bytes; one longer event is kept alone, up to [`MAX_EVENT_BYTES`].
const MAX_BYTES: usize = 256 << 10;
/// A longer event is sent and not kept.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// What an event takes beside its own bytes, about.
const EVENT_COST: usize = 96;

/// What an event is known by: the number of its stream, and its place there from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The stream.
    pub stream: u64,
    /// The place; 0 is before the first event.
    pub place: u64,
}

impl EventId {
    /// Reads what a client carries; `None` if it was never given out.
    pub fn parse(text: &str) -> Option<Self> {
        let (stream, place) = text.split_once('-')?;
        Some(Self {
            stream: stream.parse().ok()?,
            place: place.parse().ok()?,
        })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.stream, self.place)
    }
}

/// The streams.
pub struct Replay {
    table: Mutex<Table>,
    room: Arc<Room>,
}

#[derive(Default)]
struct Table {
    begun: u64,
    streams: VecDeque<Arc<Kept>>,
    closed: bool,
}

/// One stream.
struct Kept {
    number: u64,
    /// The request that it answers. The session's own has none: without a reader its messages go to another stream.
    request: Option<RawId>,
    state: Mutex<State>,
}

struct State {
    source: Option<Source>,
    ended: bool,
    /// Place and message, oldest first.
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
    share: Share,
    last: u64,
    /// Counts the readers; only the newest reads.
    turn: u64,
    waker: Option<Waker>,
}

/// One connection's end of a stream.
pub struct Reader {
    kept: Arc<Kept>,
    turn: u64,
    /// The place of what was read last.
    at: u64,
    /// What comes first, and is not kept, with its place.
    first: Option<(u64, Bytes)>,
}

impl Replay {
    /// No streams; what they keep has this room with those of other sessions.
    pub fn new(room: &Arc<Room>) -> Self {
        Self {
            table: Mutex::default(),
            room: room.clone(),
        }
    }

    /// Begins a stream of this source; `first` was taken from it already.
    pub fn begin(&self, source: Source, first: Option<Bytes>) -> Reader {
        let request = match &source {
            Source::Call(call) => Some(call.id().clone()),
            Source::Session(_) => None,
        };
        let mut state = State {
            source: Some(source),
            ended: false,
            events: VecDeque::new(),
            bytes: 0,
            share: Share::new(&self.room),
            last: 0,
            turn: 0,
            waker: None,
        };
        let first = first.and_then(|first| {
            state.keep(first.clone());
            state.events.is_empty().then_some((state.last, first))
        });
        let mut table = self.table.lock();
        table.begun += 1;
        let kept = Arc::new(Kept {
            number: table.begun,
            request,
            state: Mutex::new(state),
        });
        let gone = if table.closed {
            None
        } else {
            let gone = table.make_room();
            table.streams.push_back(kept.clone());
            gone
        };
        drop(table);
        drop(gone); // may end a call
        Reader {
            kept,
            turn: 0,
            at: 0,
            first,
        }
    }

    /// Comes back to a stream after the event with this id; `None` if there is no such stream any more, or what followed
    /// on the session's own is not kept.
    pub fn resume(&self, id: EventId, outbox: &Outbox) -> Option<Reader> {
        let kept = {
            let table = self.table.lock();
            let mut streams = table.streams.iter();
            streams.find(|kept| kept.number == id.stream)?.clone()
        };
        let mut state = kept.state.lock();
        // What is lost of a request's is passed over: its answer is behind that.
        let at = id.place.max(state.lost());
        if id.place > state.last || (kept.request.is_none() && at > id.place) {
            return None;
        }
        let is_answer_lost = state.ended && at > id.place && at == state.last;
        let request = kept.request.as_ref().filter(|_| is_answer_lost);
        let first = request.map(|request| (state.last, answer_lost(request)));
        if kept.request.is_none() && state.source.is_none() {
            // Its last reader's departure gave its messages to the outbox.
            state.source = outbox.open().map(Source::Session);
            state.ended = state.source.is_none();
        }
        state.turn += 1;
        let (turn, old) = (state.turn, state.waker.take());
        drop(state);
        if let Some(old) = old {
            old.wake(); // to see that it is not the reader any more
        }
        Some(Reader {
            kept,
            turn,
            at,
            first,
        })
    }

    /// Whether somebody reads one of them.
    pub fn is_read(&self) -> bool {
        // A reader holds its stream, too.
        let is_read = |kept: &Arc<Kept>| Arc::strong_count(kept) > 1;
        self.table.lock().streams.iter().any(is_read)
    }

    /// Forgets the streams that were read to their end: all was handed to their clients' connections.
    pub fn forget_ended(&self) {
        let is_open = |kept: &Arc<Kept>| !kept.state.lock().ended;
        self.table.lock().streams.retain(is_open);
    }

    /// Forgets all streams: their readers go on to the end of what they read.
    pub fn close(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        let streams = std::mem::take(&mut table.streams);
        drop(table);
        drop(streams);
    }
}

impl Table {
    fn make_room(&mut self) -> Option<Arc<Kept>> {
        if self.streams.len() < MAX_STREAMS {
            return None;
        }
        let ended = self.streams.iter().position(|kept| kept.state.lock().ended);
        self.streams.remove(ended.unwrap_or(0))
    }
}

impl State {
    fn keep(&mut self, message: Bytes) {
        self.last += 1;
        if message.len() > MAX_EVENT_BYTES {
            // What came before cannot be resumed over the gap.
            self.events.clear();
            self.bytes = 0;
            self.share.hold(0);
            return;
        }
        self.bytes += message.len();
        self.events.push_back((self.last, alone(message)));
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            self.drop_oldest();
        }
        while !self.hold() && !self.events.is_empty() {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.events.pop_front() {
            self.bytes -= oldest.len();
        }
    }

    /// Has what is kept counted; tells whether there is room for it.
    fn hold(&mut self) -> bool {
        let beside = self.events.len() * EVENT_COST;
        self.share.hold(self.bytes + beside)
    }

    /// The place of the last event before those that are kept.
    fn lost(&self) -> u64 {
        let first = self.events.front();
        first.map_or(self.last, |(place, _)| place - 1)
    }

    /// The kept event after this place.
    fn after(&self, at: u64) -> Option<(u64, Bytes)> {
        let first = self.events.front()?.0;
        let index = usize::try_from((at + 1).checked_sub(first)?).ok()?;
        self.events.get(index).cloned()
    }
}

/// What stands for an answer that was sent on a connection that broke, and was too long to be kept, or had no room.
fn answer_lost(request: &RawId) -> Bytes {
    let text = "the request was answered, but the answer was lost on its way and is not kept; \
                send the request again if that does no harm";
    let fault = Fault::new(Code::AnswerLost, text);
    fault.to_json(Some(request.as_bytes())).into()
}

impl Reader {
    /// The id of what was read last.
    pub fn place(&self) -> EventId {
        EventId {
            stream: self.kept.number,
            place: self.at,
        }
    }

    /// The next message; `None` at the end of the stream, or when somebody else reads it now.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.kept.state.lock();
        if state.turn != self.turn {
            return Poll::Ready(None);
        }
        if let Some((place, first)) = self.first.take() {
            self.at = place;
            return Poll::Ready(Some(first));
        }
        if let Some((place, message)) = state.after(self.at) {
            self.at = place;
            return Poll::Ready(Some(message));
        }
        let Some(source) = &mut state.source else {
            return Poll::Ready(None);
        };
        let Poll::Ready((message, last)) = source.poll_next(cx) else {
            let old = state.waker.replace(cx.waker().clone());
            drop(state);
            drop(old);
            return Poll::Pending;
        };
        if let Some(message) = &message {
            state.keep(message.clone());
            self.at = state.last;
        }
        let over = last.then(|| {
            state.ended = true;
            state.source.take()
        });
        drop(state);
        drop(over);
        Poll::Ready(message)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.kept.state.lock();
        if state.turn != self.turn {
            return;
        }
        let waker = state.waker.take();
        // A request's messages wait for its client; the session's may go to another stream.
        let left = if self.kept.request.is_none() {
            state.source.take()
        } else {
            None
        };
        drop(state);
        drop((waker, left));
    }
}
