//! The heads of an upstream's answers in HTTP/1.1, read before hyper reads them.
//!
//! Promise: an answer is held to the same grammar as where hyper has no part; one that nobody asked for ends the
//! connection.
//! Cost: that of a sieve.

use std::io;

use super::sieve::{Judge, Judged};
use crate::proxy::plain::head::{Client, parse_response};
use crate::proxy::plain::relay::{MAX_HEAD_BYTES, MOST_BEFORE};
use crate::proxy::plain::wire::Outbox;
use crate::sync::{Arc, AtomicU32, Ordering};

/// What the upstream was asked last.
#[derive(Debug, Default)]
pub struct Asked(AtomicU32);

/// How hyper passes on that an answer is none.
const INVALID: io::ErrorKind = io::ErrorKind::InvalidData;

const NOTHING: u32 = 0;
const HEAD: u32 = 1;
const WHOLE: u32 = 2;

/// The reader.
pub struct Answers {
    asked: Arc<Asked>,
    before: u32,
}

impl Asked {
    /// Notes a request.
    pub fn ask(&self, is_head: bool) {
        let asked = if is_head { HEAD } else { WHOLE };
        // Relaxed, all: written and read by tasks of one thread.
        self.0.store(asked, Ordering::Relaxed);
    }
}

impl Answers {
    /// Those to what is asked.
    pub fn new(asked: Arc<Asked>) -> Self {
        Self { asked, before: 0 }
    }
}

impl Judge for Answers {
    fn judge(&mut self, bytes: &[u8]) -> io::Result<Option<Judged>> {
        // Relaxed: as in `ask`.
        let asked = self.asked.0.load(Ordering::Relaxed);
        let client = Client {
            is_head: asked == HEAD,
            is_old: false,
            keep_alive: true,
            upgrade: false,
        };
        let Ok(read) = parse_response(bytes, client, &mut Outbox::take()) else {
            return Err(INVALID.into());
        };
        let response = match read {
            _ if asked == NOTHING => return Err(INVALID.into()),
            None if bytes.len() > MAX_HEAD_BYTES => return Err(INVALID.into()),
            None => return Ok(None),
            Some(response) => response,
        };
        match response.status {
            101 => return Err(INVALID.into()),
            ..200 if self.before == MOST_BEFORE => return Err(INVALID.into()),
            ..200 => self.before += 1,
            _ => {
                self.before = 0;
                // Relaxed: as in `ask`.
                self.asked.0.store(NOTHING, Ordering::Relaxed);
            }
        }
        Ok(Some(Judged::Head {
            bytes: response.head_bytes,
            then: response.framing,
        }))
    }

    fn broke_off(&self) -> io::Result<()> {
        Err(INVALID.into())
    }
}
