//! What moved in one exchange, and who is waited for, so that the clocks know.
//!
//! Cost: some stores that nobody else sees.

use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// The moves of one exchange: the request goes to the upstream, the answer to the client.
// Relaxed, all of it: written and read by tasks of one thread.
#[derive(Debug, Default)]
pub struct Moves {
    sent: AtomicU32,
    got: AtomicU32,
    begun: AtomicBool,
    whole: AtomicBool,
    asking: AtomicBool,
    telling: AtomicBool,
    awaits_word: AtomicBool,
}

impl Moves {
    /// Notes that some of the request moved.
    pub fn sent(&self) {
        // Relaxed: as above.
        self.sent.fetch_add(1, Ordering::Relaxed);
        set(&self.awaits_word, false);
    }

    /// Notes that some of an answer moved.
    pub fn got(&self) {
        // Relaxed: as above.
        self.got.fetch_add(1, Ordering::Relaxed);
        set(&self.awaits_word, false);
    }

    /// How often each moved.
    pub fn seen(&self) -> (u32, u32) {
        // Relaxed, both: as above.
        (
            self.sent.load(Ordering::Relaxed),
            self.got.load(Ordering::Relaxed),
        )
    }

    /// Notes that the client gets the answer itself from now on.
    pub fn begin(&self) {
        set(&self.begun, true);
    }

    /// Whether nothing else can be told to the client: it got a byte of the answer itself, or a part of what is said
    /// before it.
    pub fn has_begun(&self) -> bool {
        is_so(&self.begun) || is_so(&self.telling)
    }

    /// Whether all of the request was sent.
    pub fn is_whole(&self) -> bool {
        is_so(&self.whole)
    }

    /// Notes that all of the request was sent.
    pub fn set_whole(&self) {
        set(&self.whole, true);
    }

    /// Notes whether the client is waited for, to send more of its request.
    pub fn set_asking(&self, is_it: bool) {
        set(&self.asking, is_it);
    }

    /// Notes whether the client is waited for, to take what it is told.
    pub fn set_telling(&self, is_it: bool) {
        set(&self.telling, is_it);
    }

    /// Notes that the client sends no more before it hears a word of the upstream (`Expect: 100-continue`).
    pub fn await_word(&self) {
        set(&self.awaits_word, true);
    }

    /// Whether it is the client that keeps an exchange from going on.
    pub fn is_clients_turn(&self) -> bool {
        is_so(&self.telling) || (is_so(&self.asking) && !is_so(&self.awaits_word))
    }
}

fn set(word: &AtomicBool, to: bool) {
    // Relaxed: as in `Moves`.
    word.store(to, Ordering::Relaxed);
}

fn is_so(word: &AtomicBool) -> bool {
    // Relaxed: as in `Moves`.
    word.load(Ordering::Relaxed)
}
