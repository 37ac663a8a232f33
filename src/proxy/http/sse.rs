//! Server-sent events, as they are written.
//!
//! Promise: each message is one event and is flushed when it is written; a stream that has nothing to
//! say writes a comment every fifteen seconds, so that nobody between takes it for dead.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use crate::proxy::call::{Call, Inbox, Item, Step};
use crate::sync::Arc;

/// How long a stream may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Writes one message as an event. A message is one line; a line end would start another field.
pub fn encode(message: &[u8]) -> Bytes {
    const HEAD: &[u8] = b"event: message\ndata: ";
    let mut out = Vec::with_capacity(HEAD.len() + message.len() + 2);
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

/// Where the events of a stream come from.
pub enum Source {
    /// The messages of one request up to its answer.
    Call(Call),
    /// The messages of a session that belong to no request.
    Session(SessionStream),
}

/// The reading end of a session's stream; leaving it tells the writer.
pub struct SessionStream(pub Arc<Inbox<()>>);

impl Drop for SessionStream {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A stream of events that ends with its source.
pub struct EventStream {
    source: Option<Source>,
    /// An event that was taken from the source before the stream began.
    first: Option<Bytes>,
    silence: Pin<Box<Sleep>>,
}

impl EventStream {
    /// A stream of the source, `first` before everything else.
    pub fn new(source: Source, first: Option<Bytes>) -> Self {
        Self {
            source: Some(source),
            first,
            silence: Box::pin(sleep(KEEP_ALIVE)),
        }
    }

    /// A stream of one event.
    pub fn of_one(message: Bytes) -> Self {
        Self {
            source: None,
            first: Some(message),
            silence: Box::pin(sleep(KEEP_ALIVE)),
        }
    }

    /// The next bytes to write; `None` at the end.
    pub fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(encode(&first)));
        }
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let (message, last) = match source.poll_next(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => return self.poll_silence(cx),
        };
        if last {
            self.source = None;
        }
        self.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(message.map(|message| encode(&message)))
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

impl Source {
    /// The next message and whether it is the last.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Option<Bytes>, bool)> {
        match self {
            Self::Call(call) => call.poll_step(cx).map(|step| match step {
                Step::Related(message) => (Some(message), false),
                Step::Answer { message, .. } => (Some(message), true),
                Step::Fault(fault) => {
                    (Some(fault.to_json(Some(call.id().as_bytes())).into()), true)
                }
            }),
            Self::Session(stream) => stream.0.poll(cx).map(|item| match item {
                Item::Message(message) => (Some(message), false),
                Item::End(()) => (None, true),
            }),
        }
    }
}
