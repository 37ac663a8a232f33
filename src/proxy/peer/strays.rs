//! What the peers of one upstream wrote that served nobody, since it began: the counts outlive them.
//!
//! Cost: an addition for each such line, nothing for others.

use crate::sync::{AtomicU64, Ordering};

/// The counts.
#[derive(Debug, Default)]
pub struct Strays {
    counts: [AtomicU64; Stray::ALL.len()],
}

/// What is counted; a line may be several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It is no JSON-RPC message.
    NoMessage,
    /// Bytes of it are no UTF-8.
    NoUtf8,
    /// It answers what nobody waits for: it is late, came before, or was never asked for.
    Unasked,
    /// It reached nobody, whatever it is.
    Dropped,
}

impl Stray {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::NoMessage, Self::NoUtf8, Self::Unasked, Self::Dropped];

    /// As figures name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMessage => "no_message",
            Self::NoUtf8 => "invalid_utf8",
            Self::Unasked => "unasked_answer",
            Self::Dropped => "dropped",
        }
    }
}

impl Strays {
    /// Counts one.
    pub fn add(&self, stray: Stray) {
        // Relaxed: a count for a page.
        self.counts[stray as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn counts(&self) -> [(Stray, u64); Stray::ALL.len()] {
        // Relaxed: a count for a page.
        Stray::ALL.map(|stray| (stray, self.counts[stray as usize].load(Ordering::Relaxed)))
    }
}
