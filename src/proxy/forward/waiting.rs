//! Lines that were read and wait for their turn, because one before them waits for a child.
//!
//! Promise: they are taken in their order, but for answers and cancellations, which overtake; a request that is
//! cancelled here never begins. What waits is bounded: the input is read on when there is room.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::proxy::http;
use crate::proxy::wire::{self, Code, Fault, Kind, RawId, RequestId};

/// Lines that may wait.
const MAX_LINES: usize = 1024;
/// Their bytes; one longer line still has room.
const MAX_BYTES: usize = 4 << 20;

/// A line, or what it is refused with, and the id of what is.
pub type Line = Result<Bytes, (Fault, Option<RawId>)>;

/// The lines, and what has the turn.
#[derive(Default)]
pub struct Waiting {
    lines: VecDeque<(Line, What)>,
    bytes: usize,
    now: Option<What>,
}

/// What becomes of a line that was added.
pub enum Turn {
    /// It is taken in its order.
    Later,
    /// This is taken at once.
    AtOnce(Line),
    /// It ends what has the turn.
    Ends,
}

enum What {
    Request {
        id: Option<RequestId>,
        raw: RawId,
        is_modern: bool,
    },
    Batch,
    Answer,
    Cancellation(Option<RequestId>),
    /// A notification, or nothing that can be read.
    Other,
}

impl Waiting {
    /// Adds one that was just read.
    pub fn add(&mut self, line: Line) -> Turn {
        let what = What::of(&line);
        let is_first = self.now.is_none() && self.lines.is_empty();
        match &what {
            _ if is_first => {}
            What::Answer => return Turn::AtOnce(line),
            What::Cancellation(Some(id)) => {
                if let Some(at) = self.lines.iter().position(|(_, what)| what.is(id)) {
                    return self.cancel(at);
                }
                match &self.now {
                    // It has no session, by which it could be found.
                    Some(now) if now.is(id) && now.is_modern() => return Turn::Ends,
                    Some(now) if now.is(id) => return Turn::AtOnce(line),
                    // What it names may be part of one.
                    now if now.iter().any(What::is_batch) || self.has_batch() => {}
                    _ => return Turn::AtOnce(line),
                }
            }
            _ => {}
        }
        self.bytes += length(&line);
        self.lines.push_back((line, what));
        Turn::Later
    }

    /// Gives the turn to the next one.
    pub fn next(&mut self) -> Option<Line> {
        let next = self.lines.pop_front();
        let (line, what) = next.map_or((None, None), |(line, what)| (Some(line), Some(what)));
        self.bytes -= line.as_ref().map_or(0, length);
        self.now = what;
        line
    }

    /// Whether another line may be added.
    pub fn has_room(&self) -> bool {
        self.lines.len() < MAX_LINES && self.bytes < MAX_BYTES
    }

    fn has_batch(&self) -> bool {
        self.lines.iter().any(|(_, what)| what.is_batch())
    }

    fn cancel(&mut self, at: usize) -> Turn {
        let Some((line, what)) = self.lines.remove(at) else {
            return Turn::Later;
        };
        self.bytes -= length(&line);
        match what {
            What::Request {
                raw,
                is_modern: false,
                ..
            } => {
                let text = "the request was cancelled by its client";
                Turn::AtOnce(Err((Fault::new(Code::Cancelled, text), Some(raw))))
            }
            _ => Turn::Later, // nobody waits for an answer
        }
    }
}

impl What {
    fn of(line: &Line) -> Self {
        let Ok(line) = line else {
            return Self::Other;
        };
        if wire::is_batch(line) {
            return Self::Batch;
        }
        let Ok(message) = wire::parse(line) else {
            return Self::Other;
        };
        match &message.kind {
            Kind::Request { id, method } => Self::Request {
                // The first request of all cannot be taken back, wherever it is.
                id: RequestId::from_raw(id).filter(|_| *method != "initialize"),
                raw: RawId::new(id),
                is_modern: http::names_revision(&message),
            },
            Kind::Response { .. } => Self::Answer,
            _ if message.method() == Some("notifications/cancelled") => {
                let named = wire::cancelled_request(message.params);
                Self::Cancellation(named.and_then(|named| RequestId::from_raw(named.request)))
            }
            _ => Self::Other,
        }
    }

    /// Whether it is the request with this id.
    fn is(&self, named: &RequestId) -> bool {
        matches!(self, Self::Request { id: Some(id), .. } if id == named)
    }

    fn is_modern(&self) -> bool {
        matches!(
            self,
            Self::Request {
                is_modern: true,
                ..
            }
        )
    }

    fn is_batch(&self) -> bool {
        matches!(self, Self::Batch)
    }
}

/// The bytes that a line keeps.
pub fn length(line: &Line) -> usize {
    line.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
