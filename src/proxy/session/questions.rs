//! What a session's child asked its client and has no answer to yet.
//!
//! Promise: so many are kept, the oldest go first; one that nobody answers is given up after a while. One that
//! waits for a stream counts as seen once a stream brought it.
//! Cost: a look at each of a few.

use tokio::time::Instant;

use super::Outbox;
use crate::proxy::wire::RequestId;

/// The most that are kept.
const MAX_ASKED: usize = 256;

/// The questions, oldest first.
#[derive(Debug, Default)]
pub struct Questions(Vec<Question>);

#[derive(Debug)]
struct Question {
    id: RequestId,
    /// It waits for a stream, unless what waited was handed out since this count.
    waits: Option<u64>,
    until: Instant,
}

impl Questions {
    /// Adds one; `waits`: it is behind the outbox's so many-th stream, `None`: the client has seen it.
    pub fn add(&mut self, id: RequestId, waits: Option<u64>, until: Instant) {
        if self.0.len() >= MAX_ASKED {
            // Given up: a late answer to it is dropped.
            self.0.remove(0);
        }
        self.0.push(Question { id, waits, until });
    }

    /// Takes the one with this id out; tells whether it was there.
    pub fn take(&mut self, id: &RequestId) -> bool {
        let at = self.0.iter().position(|asked| asked.id == *id);
        at.map(|at| self.0.remove(at)).is_some()
    }

    /// Notes that the client can see it; tells whether it is still there.
    pub fn note_seen(&mut self, id: &RequestId) -> bool {
        let asked = self.0.iter_mut().find(|asked| asked.id == *id);
        asked.map(|asked| asked.waits = None).is_some()
    }

    /// Gives up those whose time is over; tells whether there were any.
    pub fn give_up(&mut self, now: Instant) -> bool {
        let before = self.0.len();
        self.0.retain(|asked| asked.until > now);
        self.0.len() < before
    }

    /// Whether the client can see one of them.
    pub fn are_seen(&self, outbox: &Outbox) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let handed = outbox.handed();
        let is_seen = |asked: &Question| asked.waits.is_none_or(|waits| handed > waits);
        self.0.iter().any(is_seen)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
