//! Lines of standard input, and what is written to standard output.
//!
//! Promise: what is read and what is written together is bounded. Cost: what is ready together leaves together.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::proxy::wire::{self, Code, Fault};
use crate::sync::{AtomicU64, Ordering};

/// From this length on, what is written together is written.
const BATCH_BYTES: usize = 1 << 20;

/// The input, line by line.
pub struct Lines<R> {
    input: BufReader<R>,
    limit: usize,
    line: BytesMut,
    too_long: bool,
    /// Whether there is a line, be it an empty one.
    begun: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Those of this input, of so many bytes at most.
    pub fn new(input: R, limit: usize) -> Self {
        Self {
            input: BufReader::new(input),
            limit,
            line: BytesMut::new(),
            too_long: false,
            begun: false,
        }
    }

    /// The next line; a refusal for one that is too long, which is skipped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> io::Result<Option<Result<Bytes, Fault>>> {
        loop {
            let piece = self.input.fill_buf().await?;
            if piece.is_empty() {
                return Ok(self.begun.then(|| self.whole()));
            }
            self.begun = true;
            let end = memchr::memchr(b'\n', piece);
            let text = &piece[..end.unwrap_or(piece.len())];
            self.too_long |= self.line.len() + text.len() > self.limit;
            if !self.too_long {
                self.line.extend_from_slice(text);
            }
            let used = text.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(self.whole()));
            }
        }
    }

    fn whole(&mut self) -> Result<Bytes, Fault> {
        let line = std::mem::take(&mut self.line);
        self.begun = false;
        if std::mem::take(&mut self.too_long) {
            let text = format!("a line is longer than {} bytes; send less", self.limit);
            return Err(Fault::new(Code::TooLarge, text));
        }
        Ok(line.freeze())
    }
}

/// Writes messages, each on a line of its own, until nobody sends any more.
pub async fn write(
    mut lines: mpsc::Receiver<Bytes>,
    mut output: impl AsyncWrite + Unpin,
    taken: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(first) = lines.recv().await {
        let mut next = Some(first);
        while let Some(message) = next {
            buffer.extend_from_slice(&wire::single_line(message));
            buffer.push(b'\n');
            next = match buffer.len() {
                0..BATCH_BYTES => lines.try_recv().ok(),
                _ => None, // another one is the first of what comes next
            };
        }
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let count = output.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // Relaxed: see `Desk::run_to_the_end`.
            taken.fetch_add(count as u64, Ordering::Relaxed);
            rest = &rest[count..];
        }
        output.flush().await?;
        buffer.clear();
    }
    Ok(())
}
