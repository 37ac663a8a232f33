//! Messages of a session that belong to no request: its open streams, and what waits for one.
//!
//! Promise: a message goes to one stream only; what waits for a stream is bounded, the oldest goes first.

use crate::sync::Arc;
use std::collections::VecDeque;
use std::mem;

use crate::sync::Mutex;
use bytes::Bytes;

use crate::proxy::call::Inbox;
use crate::proxy::http::SessionStream;

/// Streams that one session may have open; one more ends the oldest.
const MAX_STREAMS: usize = 8;
/// Messages that wait for a stream.
const MAX_WAITING: usize = 256;
/// Their bytes.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// The way out for messages to a session's client; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    streams: Vec<Arc<Inbox<()>>>,
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// How often what waited was handed to a stream.
    handed: u64,
    closed: bool,
}

impl Outbox {
    /// One that takes nothing.
    pub fn closed() -> Self {
        let outbox = Self::default();
        outbox.close();
        outbox
    }

    /// Opens a stream, which first brings what waited for one; `None` once closed.
    pub fn open(&self) -> Option<SessionStream> {
        let inbox = Arc::new(Inbox::default());
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        for message in mem::take(&mut state.waiting) {
            // There is room: less waits than an inbox takes.
            let _ = inbox.push(message);
        }
        (state.bytes, state.handed) = (0, state.handed + 1);
        state.streams.retain(|stream| stream.is_open());
        let oldest = (state.streams.len() >= MAX_STREAMS).then(|| state.streams.remove(0));
        state.streams.push(inbox.clone());
        drop(state);
        if let Some(oldest) = oldest {
            oldest.finish(());
        }
        Some(SessionStream {
            inbox,
            outbox: self.clone(),
        })
    }

    /// Sends to the newest stream that takes it, or keeps it for the next one.
    pub fn send(&self, message: Bytes) {
        if let Err(message) = self.send_now(message) {
            self.keep(message);
        }
    }

    /// Sends to the newest stream that takes it; gives it back where none does.
    pub fn send_now(&self, mut message: Bytes) -> Result<(), Bytes> {
        loop {
            // Pushing wakes a task, so it is done outside the lock.
            let Some(stream) = self.state.lock().streams.last().cloned() else {
                return Err(message);
            };
            message = match stream.push(message) {
                Ok(()) => return Ok(()),
                Err(message) => message,
            };
            // Left, or so slow that it is full: it ends after what it has, and its client comes again.
            stream.finish(());
            self.state
                .lock()
                .streams
                .retain(|other| !Arc::ptr_eq(other, &stream));
        }
    }

    fn keep(&self, message: Bytes) {
        let mut state = self.state.lock();
        if state.closed || message.len() > MAX_WAITING_BYTES {
            return;
        }
        state.bytes += message.len();
        state.waiting.push_back(message);
        while state.waiting.len() > MAX_WAITING || state.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = state.waiting.pop_front() else {
                return;
            };
            state.bytes -= oldest.len();
        }
    }

    /// How often what waited was handed to a stream: what is kept now is, once this has grown.
    pub fn handed(&self) -> u64 {
        self.state.lock().handed
    }

    /// Whether somebody listens.
    pub fn has_stream(&self) -> bool {
        self.state
            .lock()
            .streams
            .iter()
            .any(|stream| stream.is_open())
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Ends the streams and takes nothing more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.bytes = 0;
        let waiting = mem::take(&mut state.waiting);
        let streams = mem::take(&mut state.streams);
        drop(state);
        drop(waiting);
        for stream in streams {
            stream.finish(());
        }
    }
}
