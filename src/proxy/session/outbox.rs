//! Messages of a session that belong to no request: its open streams, and what waits for one.
//!
//! Promise: a message goes to one stream only; what waits for a stream is bounded, the oldest goes first; of changes of
//! lists that nobody listened for, the next stream tells once. A stream
//! that is too slow ends, and its client comes again, or the reader here that brings one after the other, for which
//! everything waits meanwhile; one that is all there is of its session stays: what it has no room for is left out, but
//! for answers.

use crate::sync::Arc;
use std::collections::VecDeque;
use std::mem;

use crate::sync::Mutex;
use bytes::Bytes;

use crate::proxy::call::Inbox;
use crate::proxy::http::SessionStream;
use crate::proxy::wire::Changes;

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
    /// Lists that changed while nobody listened.
    untold: Changes,
    /// How often what waited was handed to a stream.
    handed: u64,
    closed: bool,
    /// It has one stream for good: the session ends with that.
    is_only: bool,
    /// Where a stream ends, the next one is opened here: its client does not know of it, and so asks for nothing again.
    is_followed: bool,
    /// Those who have something to say yet.
    debts: usize,
}

/// The right to say something though it is closed: until the last of them is dropped its streams stay open.
pub struct Debt(Outbox);

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
        let untold = mem::take(&mut state.untold).messages();
        let untold = untold.map(|(_, message)| message);
        for message in mem::take(&mut state.waiting).into_iter().chain(untold) {
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

    /// Opens the stream that the session lasts as long as; `None` once closed.
    pub fn open_only(&self) -> Option<SessionStream> {
        let stream = self.open()?;
        self.state.lock().is_only = true;
        Some(stream)
    }

    /// Opens a stream for a reader that opens the next one when it ends; `None` once closed.
    pub fn open_followed(&self) -> Option<SessionStream> {
        self.state.lock().is_followed = true;
        self.open()
    }

    /// Whether the newest stream is not read as fast as it would have to be.
    pub fn is_full(&self) -> bool {
        let newest = self.state.lock().streams.last().cloned();
        newest.is_some_and(|stream| stream.is_full())
    }

    /// Sends to the newest stream that takes it, or keeps it for the next one.
    pub fn send(&self, mut message: Bytes) {
        while let Err(refused) = self.send_now(message) {
            match self.keep(refused) {
                Ok(()) => return,
                Err(refused) => message = refused,
            }
        }
    }

    /// Sends to who listens, or is about to again; of `change` everybody else is told when they come.
    pub fn announce(&self, message: &Bytes, change: Changes) {
        if self.state.lock().is_followed {
            return self.send(message.clone());
        }
        while self.send_now(message.clone()).is_err() {
            let mut state = self.state.lock();
            // Else one was opened meanwhile.
            if state.streams.is_empty() || state.is_only {
                state.untold |= change;
                return;
            }
        }
    }

    /// Sends to the newest stream that takes it; gives it back where none does.
    pub fn send_now(&self, mut message: Bytes) -> Result<(), Bytes> {
        loop {
            // Pushing wakes a task, so it is done outside the lock.
            let (stream, is_only) = {
                let state = self.state.lock();
                (state.streams.last().cloned(), state.is_only)
            };
            let Some(stream) = stream else {
                return Err(message);
            };
            message = match stream.push(message) {
                Ok(()) => return Ok(()),
                Err(message) if is_only => return Err(message),
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

    /// Keeps a message that no stream takes; gives it back where one was opened meanwhile, which would not bring it.
    pub(super) fn keep(&self, message: Bytes) -> Result<(), Bytes> {
        let mut state = self.state.lock();
        if state.closed || state.is_only {
            return Ok(());
        }
        if !state.streams.is_empty() {
            return Err(message);
        }
        if message.len() > MAX_WAITING_BYTES {
            return Ok(());
        }
        state.bytes += message.len();
        state.waiting.push_back(alone(message));
        while state.waiting.len() > MAX_WAITING || state.bytes > MAX_WAITING_BYTES {
            let Some(oldest) = state.waiting.pop_front() else {
                break;
            };
            state.bytes -= oldest.len();
        }
        Ok(())
    }

    /// How often what waited was handed to a stream: what is kept now is, once this has grown.
    pub fn handed(&self) -> u64 {
        self.state.lock().handed
    }

    /// Whether somebody listens, or is about to again.
    pub fn has_stream(&self) -> bool {
        let state = self.state.lock();
        state.is_followed || state.streams.iter().any(|stream| stream.is_open())
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Takes nothing more and ends the streams, once those who have something to say have said it.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.bytes = 0;
        let waiting = mem::take(&mut state.waiting);
        let streams = state.last_streams();
        drop(state);
        drop(waiting);
        end(streams);
    }

    /// Keeps its streams open for one more answer.
    pub fn owe(&self) -> Debt {
        self.state.lock().debts += 1;
        Debt(self.clone())
    }
}

impl Debt {
    /// Says it, however much waits.
    pub fn send(&self, message: Bytes) {
        let newest = self.0.state.lock().streams.last().cloned();
        if let Some(stream) = newest {
            // Else its client is gone.
            let _ = stream.push_owed(message);
        }
    }

    /// Says what is owed to nobody: it is left out where there is no room.
    pub fn mention(&self, message: Bytes) {
        self.0.send(message);
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.debts -= 1;
        let streams = state.last_streams();
        drop(state);
        end(streams);
    }
}

impl State {
    /// The streams, if it is closed and nobody has anything to say any more.
    fn last_streams(&mut self) -> Vec<Arc<Inbox<()>>> {
        match self.closed && self.debts == 0 {
            true => mem::take(&mut self.streams),
            false => Vec::new(),
        }
    }
}

/// Outside the lock: it wakes tasks.
fn end(streams: Vec<Arc<Inbox<()>>>) {
    for stream in streams {
        stream.finish(());
    }
}

/// A message that is kept for long, in memory of its own where it is small: as a piece of what was read with it, it
/// would keep all of that.
pub(super) fn alone(message: Bytes) -> Bytes {
    const SMALL: usize = 16 << 10;
    match message.len() {
        0..=SMALL => Bytes::copy_from_slice(&message),
        _ => message,
    }
}
