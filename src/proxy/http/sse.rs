//! Server-sent events, as they are written.
//!
//! Promise: each message is one event and is flushed when it is written; a stream that has nothing to
//! say writes a comment every fifteen seconds, so that nobody between takes it for dead. A client of a
//! session learns an id with each event, and how long to wait before it comes back: each client another
//! time, so that those who lost their streams together do not return together.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use crate::proxy::call::{Call, Inbox, Item, Step};
use crate::proxy::seed::seed;
use crate::proxy::session::{EventId, Outbox, Reader};
use crate::sync::Arc;

/// How long a stream may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The shortest pause that a client is told, in milliseconds, and what is drawn on top of it.
const RETRY_MS: (u64, u64) = (500, 3000);

/// Writes one message as an event. A message is one line; a line end would start another field.
pub fn encode(message: &[u8], id: Option<EventId>) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let mut out = Vec::with_capacity(HEAD.len() + message.len() + 24);
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(HEAD);
    out.extend(message.iter().map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    }));
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// What comes first on a session's stream: when to come back, and for clients that know of it an event
/// without a message, which gives them an id to come back with.
fn opening(id: EventId, primes: bool) -> Bytes {
    let pause = RETRY_MS.0 + seed() % RETRY_MS.1;
    if primes {
        format!("id: {id}\nretry: {pause}\ndata: \n\n").into()
    } else {
        format!("retry: {pause}\n\n").into()
    }
}

/// Where the events of a stream come from.
pub enum Source {
    /// The messages of one request up to its answer.
    Call(Call),
    /// The messages of a session that belong to no request.
    Session(SessionStream),
}

/// The reading end of a session's stream; leaving it gives what was not read to another stream.
pub struct SessionStream {
    /// The messages.
    pub inbox: Arc<Inbox<()>>,
    /// Whose they are.
    pub outbox: Outbox,
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        for message in self.inbox.leave() {
            self.outbox.send(message);
        }
    }
}

/// A stream of events that ends with its source.
pub struct EventStream {
    from: From,
    /// What is written before everything else.
    head: Option<Bytes>,
    silence: Pin<Box<Sleep>>,
    /// Dropped with the stream.
    #[expect(dead_code, reason = "kept to be dropped")]
    held: Option<Box<dyn Send + Sync>>,
}

enum From {
    /// A client that names no session cannot come back.
    Source(Option<Source>),
    Kept(Reader),
}

impl EventStream {
    /// A stream of the source, `first` before everything else.
    pub fn new(source: Source, first: Option<Bytes>) -> Self {
        Self::of(
            From::Source(Some(source)),
            first.map(|first| encode(&first, None)),
        )
    }

    /// A stream that its client may come back to; `primes` where the client's revision knows events
    /// without a message.
    pub fn kept(reader: Reader, primes: bool) -> Self {
        let head = opening(reader.place(), primes);
        Self::of(From::Kept(reader), Some(head))
    }

    /// A stream of one event.
    pub fn of_one(message: Bytes) -> Self {
        Self::of(From::Source(None), Some(encode(&message, None)))
    }

    /// A stream of the source behind an event that is written as it is; holds something to its end.
    pub fn behind(head: Bytes, source: Source, held: Box<dyn Send + Sync>) -> Self {
        Self {
            held: Some(held),
            ..Self::of(From::Source(Some(source)), Some(head))
        }
    }

    fn of(from: From, head: Option<Bytes>) -> Self {
        Self {
            from,
            head,
            silence: Box::pin(sleep(KEEP_ALIVE)),
            held: None,
        }
    }

    /// The next bytes to write; `None` at the end.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(head));
        }
        let event = match self.from.poll_next(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => return self.poll_silence(cx),
        };
        self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(event)
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.silence.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        // Registers the timer again; it cannot be due yet.
        let _ = self.silence.as_mut().poll(cx);
        Poll::Ready(Some(Bytes::from_static(b": keep-alive\n\n")))
    }
}

impl From {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Kept(reader) => reader
                .poll(cx)
                .map(|message| message.map(|message| encode(&message, Some(reader.place())))),
            Self::Source(place) => {
                let Some(source) = place else {
                    return Poll::Ready(None);
                };
                source.poll_next(cx).map(|(message, last)| {
                    if last {
                        *place = None;
                    }
                    message.map(|message| encode(&message, None))
                })
            }
        }
    }
}

impl Source {
    /// The next message and whether it is the last.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Option<Bytes>, bool)> {
        match self {
            Self::Call(call) => call.poll_step(cx).map(|step| match step {
                Step::Related(message) => (Some(message), false),
                Step::Answer { message, .. } => (Some(message), true),
                Step::Fault(fault) => {
                    (Some(fault.to_json(Some(call.id().as_bytes())).into()), true)
                }
            }),
            Self::Session(stream) => stream.inbox.poll(cx).map(|item| match item {
                Item::Message(message) => (Some(message), false),
                Item::End(()) => (None, true),
            }),
        }
    }
}
