//! What was read from a connection and not used yet, and the memory for it.
//!
//! Promise: a connection that waits holds no buffer; a buffer grows only for a head that is longer than it,
//! up to that limit.
//! Cost: a buffer is taken from and given to a list of the thread's own, newest first, so few of them are
//! warm for any number of connections.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read brings at most, unless a head is longer.
pub const BUFFER_BYTES: usize = 16 << 10;
/// Buffers that a thread keeps.
const KEPT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static OUT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let bytes = self.buffer.as_deref().unwrap_or_default();
        &bytes[self.start..self.end]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `count`; an empty inbox gives its buffer back.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(buffer) = self.buffer.take() {
            give(buffer);
        }
    }

    /// Reads once; zero is the end of the stream.
    ///
    /// # Errors
    ///
    /// That of the connection.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn read<S: AsyncRead + Unpin>(&mut self, from: &mut S) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, from)).await
    }

    /// The same, once.
    pub fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut S,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = self.buffer.take().unwrap_or_else(spare);
        if self.end == buffer.len() {
            buffer = self.made_room(buffer);
        }
        let mut room = ReadBuf::new(&mut buffer[self.end..]);
        let polled = Pin::new(from).poll_read(context, &mut room);
        let count = room.filled().len();
        self.end += count;
        match self.is_empty() {
            true => give(buffer),
            false => self.buffer = Some(buffer),
        }
        polled.map_ok(|()| count)
    }

    /// Moves the bytes to the front; if they fill all of it, to a larger buffer.
    fn made_room(&mut self, mut buffer: Box<[u8]>) -> Box<[u8]> {
        let held = self.start..self.end;
        (self.start, self.end) = (0, held.len());
        if held.start > 0 {
            buffer.copy_within(held, 0);
            return buffer;
        }
        let mut larger = vec![0; buffer.len() * 2];
        larger[..buffer.len()].copy_from_slice(&buffer);
        give(buffer);
        larger.into()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.clear();
    }
}

fn spare() -> Box<[u8]> {
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
    spare
        .ok()
        .flatten()
        .unwrap_or_else(|| vec![0; BUFFER_BYTES].into())
}

fn give(buffer: Box<[u8]>) {
    if buffer.len() == BUFFER_BYTES {
        // While the thread ends there is no list: the buffer is freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

/// Bytes to write, in memory of the thread's own.
#[derive(Debug)]
pub struct Outbox(Vec<u8>);

impl Outbox {
    /// An empty one.
    pub fn take() -> Self {
        let spare = OUT.try_with(|spare| spare.borrow_mut().pop());
        Self(spare.ok().flatten().unwrap_or_default())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() <= 4 * BUFFER_BYTES {
            bytes.clear();
            let _ = OUT.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < KEPT {
                    spare.push(bytes);
                }
            });
        }
    }
}

impl Deref for Outbox {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Outbox {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// Writes all of `bytes`.
///
/// # Errors
///
/// That of the connection, with the number of bytes that it took before.
pub async fn write_all<S: AsyncWrite + Unpin>(
    to: &mut S,
    bytes: &[u8],
) -> Result<(), (usize, io::Error)> {
    let mut at = 0;
    while at < bytes.len() {
        match poll_fn(|context| Pin::new(&mut *to).poll_write(context, &bytes[at..])).await {
            Ok(0) => return Err((at, io::ErrorKind::WriteZero.into())),
            Ok(count) => at += count,
            Err(error) => return Err((at, error)),
        }
    }
    Ok(())
}
