//! A chunked body, read by its grammar to the byte.
//!
//! Promise: what is not exactly chunks, each ended by CR LF, is refused; extensions are passed over and
//! never on; trailers are collected up to a limit.
//! Cost: a few comparisons a chunk; the bytes in between are not looked at.

use std::ops::Range;

use httparse::{Header, Status};

use super::head::is_forbidden_trailer;

/// The longest extension of one chunk, and the most bytes of all trailers.
const MAX_EXTENSION: usize = 256;
const MAX_TRAILERS: usize = 16 << 10;
/// The most fields after a body.
const MAX_FIELDS: usize = 64;

/// The body is not what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

/// Where a reader is.
///
/// | state    | reads                          | leaves for                          |
/// |----------|--------------------------------|-------------------------------------|
/// | Size     | hexadecimal digits             | Extension at `;`, Blank, Line at CR |
/// | Blank    | spaces and tabs                | Extension at `;`, Line at CR        |
/// | Extension| anything printable             | Line at CR                          |
/// | Line     | LF                             | Data, or Trailers after the last    |
/// | Data     | so many bytes                  | After                               |
/// | After    | CR LF                          | Size                                |
/// | Trailers | lines up to an empty one       | Done                                |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Blank { value: u64, length: usize },
    Extension { value: u64, length: usize },
    Line { value: u64 },
    Data { left: u64 },
    After { seen: bool },
    Trailers,
    Done,
}

/// A reader of one body.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    trailers: Vec<u8>,
}

/// What a look at some bytes found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// How many of them it is done with.
    pub consumed: usize,
    /// The bytes of the body among them.
    pub data: Range<usize>,
}

impl Chunks {
    /// A reader before the first chunk.
    pub fn new() -> Self {
        Self {
            state: START,
            trailers: Vec::new(),
        }
    }

    /// Whether the body is over, trailers included.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads up to the end of the next piece of the body, or of what there is.
    ///
    /// # Errors
    ///
    /// [`BadChunk`].
    pub fn next(&mut self, bytes: &[u8]) -> Result<Found, BadChunk> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            match self.state {
                State::Done => break,
                State::Data { left } => {
                    let length =
                        (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.state = match left - length as u64 {
                        0 => State::After { seen: false },
                        left => State::Data { left },
                    };
                    return Ok(Found {
                        consumed: at + length,
                        data: at..at + length,
                    });
                }
                State::Trailers => {
                    at += self.collect(&bytes[at..])?;
                    continue;
                }
                _ => self.state = self.step(byte)?,
            }
            at += 1;
        }
        Ok(Found {
            consumed: at,
            data: at..at,
        })
    }

    fn step(&self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::Size { digits: 1.., value }, b'\r') => Ok(State::Line { value }),
            (State::Size { digits: 1.., value } | State::Blank { value, .. }, b';') => {
                Ok(State::Extension { value, length: 0 })
            }
            (State::Size { digits: 1.., value }, b' ' | b'\t') => {
                Ok(State::Blank { value, length: 0 })
            }
            (
                State::Blank {
                    value,
                    length: length @ ..MAX_EXTENSION,
                },
                b' ' | b'\t',
            ) => Ok(State::Blank {
                value,
                length: length + 1,
            }),
            // Fifteen digits always fit.
            (
                State::Size {
                    value,
                    digits: digits @ ..15,
                },
                digit,
            ) => {
                let digit = (digit as char).to_digit(16).ok_or(BadChunk)?;
                Ok(State::Size {
                    value: value << 4 | u64::from(digit),
                    digits: digits + 1,
                })
            }
            (State::Blank { value, .. } | State::Extension { value, .. }, b'\r') => {
                Ok(State::Line { value })
            }
            (
                State::Extension {
                    value,
                    length: length @ ..MAX_EXTENSION,
                },
                b' '..=b'~' | b'\t',
            ) => Ok(State::Extension {
                value,
                length: length + 1,
            }),
            (State::Line { value: 0 }, b'\n') => Ok(State::Trailers),
            (State::Line { value }, b'\n') => Ok(State::Data { left: value }),
            (State::After { seen: false }, b'\r') => Ok(State::After { seen: true }),
            (State::After { seen: true }, b'\n') => Ok(START),
            _ => Err(BadChunk),
        }
    }

    /// Collects lines; how many bytes were theirs.
    fn collect(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        for (at, byte) in bytes.iter().enumerate() {
            self.trailers.push(*byte);
            if *byte == b'\n' {
                if !self.trailers.ends_with(b"\r\n") {
                    return Err(BadChunk);
                }
                if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                    self.state = State::Done;
                    return Ok(at + 1);
                }
            }
            if self.trailers.len() > MAX_TRAILERS {
                return Err(BadChunk);
            }
        }
        Ok(bytes.len())
    }

    /// Appends the trailers that may go on, without the empty line after them.
    ///
    /// # Errors
    ///
    /// [`BadChunk`]: they are no header fields.
    pub fn write_trailers(&self, to: &mut Vec<u8>) -> Result<(), BadChunk> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let parsed = httparse::parse_headers(&self.trailers, &mut fields);
        let Ok(Status::Complete((_, fields))) = parsed else {
            return Err(BadChunk);
        };
        for Header { name, value } in fields
            .iter()
            .filter(|field| !is_forbidden_trailer(field.name))
        {
            to.extend_from_slice(name.as_bytes());
            to.extend_from_slice(b": ");
            to.extend_from_slice(value);
            to.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}

const START: State = State::Size {
    value: 0,
    digits: 0,
};

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
