//! The memory in which the streams of all sessions of an upstream keep events for clients that come back.
//!
//! Promise: no more is held than the limit, but for what is being added just now; what a stream held is free when
//! the stream is gone. Cost: one atomic addition an event.

use crate::sync::{Arc, AtomicUsize, Ordering};

/// The room of all.
pub struct Room {
    held: AtomicUsize,
    limit: AtomicUsize,
}

impl Default for Room {
    /// Room without an end.
    fn default() -> Self {
        Self {
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Room {
    /// Has so many bytes; streams that add to what they hold give up what is too much.
    pub fn limit_to(&self, bytes: usize) {
        // Relaxed: orders nothing; whoever adds next sees it.
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        // Relaxed: a count for a page.
        self.held.load(Ordering::Relaxed)
    }

    /// Whether three quarters are taken: what may be spared is to go before what is needed.
    pub fn is_crowded(&self) -> bool {
        self.held() > self.limit() / 4 * 3
    }

    fn limit(&self) -> usize {
        // Relaxed: see `limit_to`.
        self.limit.load(Ordering::Relaxed)
    }
}

/// What one stream has of it, up to its drop.
pub struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub fn new(room: &Arc<Room>) -> Self {
        Self {
            room: room.clone(),
            bytes: 0,
        }
    }

    /// Has so many bytes from now on; tells whether all have room.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let added = bytes.wrapping_sub(self.bytes);
        self.bytes = bytes;
        // Relaxed: a count on its own. It wraps where less is held than before; the sum is never below zero.
        let held = self.room.held.fetch_add(added, Ordering::Relaxed);
        held.wrapping_add(added) <= self.room.limit()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}
