//! A bounded queue of messages with one reader and an end.
//!
//! Promise: what was pushed before the end is read before the end, the end is read once, and a
//! reader that left takes nothing more. Cost: one short lock a step; nothing is allocated until a
//! message comes before the end.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;
use bytes::Bytes;

/// Messages that may wait for a reader that does not keep up.
const MAX_MESSAGES: usize = 1024;
/// Their bytes; one longer message still fits into an empty queue.
const MAX_BYTES: usize = 4 << 20;

/// The queue, shared by one writer's side and one reader.
#[derive(Debug)]
pub struct Inbox<E> {
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    queue: VecDeque<Bytes>,
    bytes: usize,
    end: End<E>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum End<E> {
    Open,
    Given(E),
    /// The end was read, or the reader left.
    Over,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Item<E> {
    /// One message.
    Message(Bytes),
    /// The last item.
    End(E),
}

impl<E> Default for Inbox<E> {
    fn default() -> Self {
        let state = State {
            queue: VecDeque::new(),
            bytes: 0,
            end: End::Open,
            waker: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl<E> Inbox<E> {
    /// Adds a message; gives it back where the queue is full, ended, or nobody reads it any more.
    pub fn push(&self, message: Bytes) -> Result<(), Bytes> {
        self.add(message, false)
    }

    /// Adds a message whatever waits already; gives it back where nobody reads it any more.
    pub fn push_owed(&self, message: Bytes) -> Result<(), Bytes> {
        self.add(message, true)
    }

    fn add(&self, message: Bytes, is_owed: bool) -> Result<(), Bytes> {
        let mut state = self.state.lock();
        let is_refused = !is_owed && state.is_full(message.len());
        if !matches!(state.end, End::Open) || is_refused {
            return Err(message);
        }
        state.bytes += message.len();
        state.queue.push_back(message);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        Ok(())
    }

    /// Sets the end; `false` if there was one already or nobody reads.
    pub fn finish(&self, end: E) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Open) {
            return false;
        }
        state.end = End::Given(end);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        true
    }

    /// The next item, or a place for the waker of the one reader.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Item<E>> {
        let mut state = self.state.lock();
        if let Some(message) = state.queue.pop_front() {
            state.bytes -= message.len();
            return Poll::Ready(Item::Message(message));
        }
        if let End::Given(_) = state.end
            && let End::Given(end) = mem::replace(&mut state.end, End::Over)
        {
            return Poll::Ready(Item::End(end));
        }
        let old = state.wait(cx);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Whether it ended, or a place for the waker; takes nothing.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Open) {
            return Poll::Ready(());
        }
        let old = state.wait(cx);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Whether a push could be read by somebody.
    pub fn is_open(&self) -> bool {
        matches!(self.state.lock().end, End::Open)
    }

    /// Whether its reader does not keep up.
    pub fn is_full(&self) -> bool {
        self.state.lock().is_full(0)
    }

    /// The reader leaves with what it did not read, and nothing more is taken.
    pub fn leave(&self) -> VecDeque<Bytes> {
        let mut state = self.state.lock();
        let unread = mem::take(&mut state.queue);
        let left = (mem::replace(&mut state.end, End::Over), state.waker.take());
        state.bytes = 0;
        drop(state);
        drop(left);
        unread
    }
}

impl<E> State<E> {
    /// Whether so many bytes more have no room; one message always has.
    fn is_full(&self, bytes: usize) -> bool {
        let is_full = self.queue.len() >= MAX_MESSAGES || self.bytes + bytes > MAX_BYTES;
        is_full && !self.queue.is_empty()
    }

    /// Keeps the waker; an earlier one is to be dropped after the lock is released.
    fn wait(&mut self, cx: &Context<'_>) -> Option<Waker> {
        let mut kept = self.waker.iter();
        if kept.any(|waker| waker.will_wake(cx.waker())) {
            return None;
        }
        self.waker.replace(cx.waker().clone())
    }
}

/// Wakes after the lock was released.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
