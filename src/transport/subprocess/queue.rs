//! Lines on their way to a child.
//!
//! Promise: lines leave in the order they were queued, whole; a child that does not read makes its
//! writers wait and costs a bounded number of bytes.
//! Cost: one compare-exchange for the room, one short lock for the place, a wake-up if the queue was empty.

use std::fmt;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use super::death::Death;
use super::link::Link;
use crate::sync::{Arc, Mutex};

/// Why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The child is dead.
    Dead(Death),
    /// The child does not read fast enough and the queue is full. Only from
    /// [`try_write`](LineWriter::try_write).
    Full,
    /// Its input was ended, by [`finish`](LineWriter::finish) or by the request to a single-shot program.
    Finished,
    /// The line contains a line break, which would make it two.
    LineBreak,
}

/// Queues lines for a child; clones are cheap and write to the same child.
#[derive(Clone)]
pub struct LineWriter {
    link: Arc<Link>,
}

impl LineWriter {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Queues one line, waiting for room if the child does not read. The line end is added.
    ///
    /// # Errors
    ///
    /// [`WriteError::Dead`] once the child is dead, [`WriteError::Finished`] once its input was ended,
    /// [`WriteError::LineBreak`] if `line` contains one. A line that was queued is lost if the child
    /// dies before it reads it; its sink learns of the death.
    ///
    /// # Cancel safety
    ///
    /// Dropped while waiting, nothing was queued.
    pub async fn write(&self, line: Bytes) -> Result<(), WriteError> {
        match self.try_write(line.clone()) {
            Err(WriteError::Full) => {}
            done => return done,
        }
        let queue = &self.link.queue;
        let Ok(room) = queue.room.acquire_many(queue.cost_of(&line)).await else {
            return Err(self.refusal());
        };
        room.forget(); // given back by the writer task once the line is written
        queue.push(line);
        Ok(())
    }

    /// Queues one line if there is room now.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`WriteError::Full`].
    pub fn try_write(&self, line: Bytes) -> Result<(), WriteError> {
        if memchr::memchr(b'\n', &line).is_some() {
            return Err(WriteError::LineBreak);
        }
        let queue = &self.link.queue;
        match queue.room.try_acquire_many(queue.cost_of(&line)) {
            Ok(room) => room.forget(),
            Err(tokio::sync::TryAcquireError::NoPermits) => return Err(WriteError::Full),
            Err(tokio::sync::TryAcquireError::Closed) => return Err(self.refusal()),
        }
        queue.push(line);
        Ok(())
    }

    /// Ends the child's input after the lines that are queued. Many programs then finish and exit.
    pub fn finish(&self) {
        self.link.queue.close();
    }

    fn refusal(&self) -> WriteError {
        self.link
            .state
            .death()
            .map_or(WriteError::Finished, WriteError::Dead)
    }
}

/// The queue itself; its consumer is the writer task.
pub(super) struct LineQueue {
    /// Free bytes; closed: no more lines.
    room: Semaphore,
    limit: u32,
    lines: Mutex<Vec<Bytes>>,
    /// Wakes the writer task: a line came, or the queue was closed.
    changed: Notify,
}

impl LineQueue {
    pub(super) fn new(limit: usize) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).clamp(1, most);
        Self {
            room: Semaphore::new(limit as usize),
            limit,
            lines: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Takes no more lines; those that are here stay.
    pub(super) fn close(&self) {
        self.room.close();
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// Moves every waiting line to the end of `batch`.
    pub(super) fn take(&self, batch: &mut Vec<Bytes>) {
        let mut lines = self.lines.lock();
        if batch.is_empty() {
            std::mem::swap(&mut *lines, batch); // both keep their capacity
        } else {
            batch.append(&mut lines);
        }
    }

    /// Gives back the room of lines that are written.
    pub(super) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.room.add_permits(bytes);
        }
    }

    /// Waits until a line may have come or the queue may have been closed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What a line takes of the room, its place in the queue included; one line of any length fits
    /// into an empty queue.
    pub(super) fn cost_of(&self, line: &Bytes) -> u32 {
        let bytes = line.len().saturating_add(size_of::<Bytes>());
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.limit)
    }

    fn push(&self, line: Bytes) {
        let mut lines = self.lines.lock();
        lines.push(line);
        let first = lines.len() == 1;
        drop(lines);
        if first {
            self.changed.notify_one();
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(death) => write!(f, "the child takes no more lines: {death}"),
            Self::Full => f.write_str("the child does not read its input and its queue is full"),
            Self::Finished => f.write_str("the child takes no more lines: its input was ended"),
            Self::LineBreak => {
                f.write_str("a message is one line: replace its line breaks by spaces")
            }
        }
    }
}

impl std::error::Error for WriteError {}
