//! Which revision the children of a group speak: asked for once, then known.
//!
//! | memory    | a start sends                              | leaves for                            |
//! |-----------|--------------------------------------------|---------------------------------------|
//! | `Legacy`  | `initialize`                               |                                       |
//! | `Unknown` | `server/discover`, and `initialize` if no modern answer comes | `Modern`, `Legacy` |
//! | `Modern`  | `server/discover`                          |                                       |

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
pub struct EraMemory(AtomicU32);

impl EraMemory {
    /// Begins with this.
    pub fn new(era: Era) -> Self {
        Self(AtomicU32::new(era as u32))
    }

    /// What is known.
    pub fn get(&self) -> Era {
        // Relaxed: a hint for the next start; each start finds out by itself what it speaks to.
        match self.0.load(Ordering::Relaxed) {
            known if known == Era::Legacy as u32 => Era::Legacy,
            known if known == Era::Modern as u32 => Era::Modern,
            _ => Era::Unknown,
        }
    }

    /// Keeps what a start found out.
    pub fn set(&self, era: Era) {
        // Relaxed: see `get`.
        self.0.store(era as u32, Ordering::Relaxed);
    }
}
