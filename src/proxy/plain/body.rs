//! A body on its way: read by one framing, written by another, a buffer at a time.
//!
//! Promise: never more than what one read brought is held; a body that breaks off, or is not what its head
//! says, is never passed on as whole.
//! Cost: one copy of each byte.

use std::io::Write;

use super::chunks::Chunks;
use super::head::Framing;

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is not what its head says.
    Invalid,
    /// It is longer than allowed.
    TooLarge,
    /// Its connection ended before it did.
    Broken,
}

/// One body.
#[derive(Debug)]
pub struct Body {
    reading: Reading,
    writing: Framing,
    /// How much more may come.
    allowed: u64,
    /// Bytes that came so far.
    pub bytes: u64,
}

#[derive(Debug)]
enum Reading {
    Length(u64),
    Chunks(Box<Chunks>),
    Close { ended: bool },
}

impl Body {
    /// A body of which at most `allowed` bytes are passed on.
    pub fn new(reading: Framing, writing: Framing, allowed: u64) -> Self {
        Self {
            reading: match reading {
                Framing::Empty => Reading::Length(0),
                Framing::Length(length) => Reading::Length(length),
                Framing::Chunked => Reading::Chunks(Box::new(Chunks::new())),
                Framing::Close => Reading::Close { ended: false },
            },
            writing,
            allowed,
            bytes: 0,
        }
    }

    /// Whether all of it was passed on.
    pub fn is_done(&self) -> bool {
        match &self.reading {
            Reading::Length(left) => *left == 0,
            Reading::Chunks(chunks) => chunks.is_done(),
            Reading::Close { ended } => *ended,
        }
    }

    /// Passes on what there is; returns how many bytes it is done with.
    ///
    /// # Errors
    ///
    /// [`BodyError::Invalid`], [`BodyError::TooLarge`].
    pub fn advance(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<usize, BodyError> {
        match &mut self.reading {
            Reading::Length(left) => {
                let length = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                self.push(&bytes[..length], to)?;
                Ok(length)
            }
            Reading::Close { .. } => {
                self.push(bytes, to)?;
                Ok(bytes.len())
            }
            Reading::Chunks(_) => self.advance_chunks(bytes, to),
        }
    }

    fn advance_chunks(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> Result<usize, BodyError> {
        let mut at = 0;
        while at < bytes.len() {
            let Reading::Chunks(chunks) = &mut self.reading else {
                break;
            };
            if chunks.is_done() {
                break;
            }
            let found = chunks.next(&bytes[at..]).map_err(|_| BodyError::Invalid)?;
            if chunks.is_done() {
                let trailers = match self.writing {
                    Framing::Chunked => to,
                    _ => &mut Vec::new(),
                };
                return finish(chunks, trailers, self.writing).map(|()| at + found.consumed);
            }
            let data = at + found.data.start..at + found.data.end;
            self.push(&bytes[data], to)?;
            at += found.consumed;
        }
        Ok(at)
    }

    fn push(&mut self, data: &[u8], to: &mut Vec<u8>) -> Result<(), BodyError> {
        self.bytes += data.len() as u64;
        if self.bytes > self.allowed {
            return Err(BodyError::TooLarge);
        }
        match self.writing {
            Framing::Chunked if !data.is_empty() => {
                // A write to a vector does not fail.
                let _ = write!(to, "{:x}\r\n", data.len());
                to.extend_from_slice(data);
                to.extend_from_slice(b"\r\n");
            }
            _ => to.extend_from_slice(data),
        }
        Ok(())
    }

    /// Notes that nothing more comes.
    ///
    /// # Errors
    ///
    /// [`BodyError::Broken`]: it was not over.
    pub fn end(&mut self, to: &mut Vec<u8>) -> Result<(), BodyError> {
        if self.is_done() {
            return Ok(());
        }
        let Reading::Close { ended } = &mut self.reading else {
            return Err(BodyError::Broken);
        };
        *ended = true;
        if self.writing == Framing::Chunked {
            to.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }
}

fn finish(chunks: &Chunks, to: &mut Vec<u8>, writing: Framing) -> Result<(), BodyError> {
    if writing == Framing::Chunked {
        to.extend_from_slice(b"0\r\n");
    }
    chunks.write_trailers(to).map_err(|_| BodyError::Invalid)?;
    if writing == Framing::Chunked {
        to.extend_from_slice(b"\r\n");
    }
    Ok(())
}
