//! Which revision the children of a group speak: remembered of what one answered, and forgotten when a start fails.
//!
//! | memory    | a start sends                                              | leaves for                               |
//! |-----------|------------------------------------------------------------|------------------------------------------|
//! | `Unknown` | `server/discover`, and `initialize` where no modern answer comes | `Modern`, `Legacy`: by the one that was answered |
//! | `Legacy`  | `initialize`                                               | `Unknown`: it failed                     |
//! | `Modern`  | `server/discover`, and `initialize` where it is answered as of old | `Legacy`; `Unknown`: it failed   |
//!
//! A start that fails says nothing for ever: the server may have been killed, be on its way up, or be another one.

use crate::sync::{AtomicU32, Ordering};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Revisions with a handshake.
    Legacy,
    /// Nothing yet.
    Unknown,
    /// The revision without sessions.
    Modern,
}

/// The memory, shared by the starts of a group.
#[derive(Debug)]
pub struct EraMemory {
    known: AtomicU32,
    /// Nobody asks: a handshake is what is wanted.
    is_fixed: bool,
}

impl EraMemory {
    /// Nothing is known yet.
    pub fn unknown() -> Self {
        Self {
            known: AtomicU32::new(Era::Unknown as u32),
            is_fixed: false,
        }
    }

    /// Each start shakes hands.
    pub fn handshakes() -> Self {
        Self {
            known: AtomicU32::new(Era::Legacy as u32),
            is_fixed: true,
        }
    }

    /// What is known.
    pub fn get(&self) -> Era {
        // Relaxed: a hint for the next start; each start finds out by itself what it speaks to.
        match self.known.load(Ordering::Relaxed) {
            known if known == Era::Legacy as u32 => Era::Legacy,
            known if known == Era::Modern as u32 => Era::Modern,
            _ => Era::Unknown,
        }
    }

    /// Keeps what a start found out.
    pub fn set(&self, era: Era) {
        if !self.is_fixed {
            // Relaxed: see `get`.
            self.known.store(era as u32, Ordering::Relaxed);
        }
    }
}
