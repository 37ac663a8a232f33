//! One session of one client.

use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};

use super::{Outbox, OwnedChild, Replay, Room};
use crate::proxy::call::Owner;
use crate::proxy::http::Version;
use crate::proxy::wire::{Code, Fault};

/// A session, from the answer to its `initialize` to its end.
pub struct Session {
    /// Unique in this process; names the session in tables of requests.
    pub key: u64,
    /// As the client carries it.
    pub id: Box<str>,
    version: AtomicU32,
    child: Option<OwnedChild>,
    outbox: Outbox,
    /// Its streams, for a client that comes back to one.
    pub replay: Replay,
    used_ms: AtomicU64,
}

impl Session {
    /// A session that began now, with a child of its own or on shared ones.
    pub fn new(
        key: u64,
        id: Box<str>,
        version: Version,
        child: Option<OwnedChild>,
        room: &Arc<Room>,
        now_ms: u64,
    ) -> Self {
        Self {
            key,
            id,
            version: AtomicU32::new(version as u32),
            child,
            outbox: Outbox::default(),
            replay: Replay::new(room),
            used_ms: AtomicU64::new(now_ms),
        }
    }

    /// What was negotiated.
    pub fn version(&self) -> Version {
        // Relaxed: a value on its own; its client sends nothing by what it was not told yet.
        Version::ALL[self.version.load(Ordering::Relaxed) as usize]
    }

    /// Notes what was negotiated after it began, as it is where a session begins with its stream.
    pub fn agree(&self, version: Version) {
        // Relaxed: see `version`.
        self.version.store(version as u32, Ordering::Relaxed);
    }

    /// Its own child, in `session` mode.
    pub fn child(&self) -> Option<&OwnedChild> {
        self.child.as_ref()
    }

    /// The way out for messages that belong to no request.
    pub fn outbox(&self) -> &Outbox {
        self.child
            .as_ref()
            .map_or(&self.outbox, |child| &child.routes.outbox)
    }

    /// Whether its client takes an event without a message, which gives it an id to come back with.
    pub fn is_primed(&self) -> bool {
        self.version() >= Version::V2025_11_25
    }

    /// Its name in tables of requests.
    pub fn owner(&self) -> Owner {
        Owner::Session(self.key)
    }

    /// Marks it as used.
    pub fn touch(&self, now_ms: u64) {
        // Relaxed: orders nothing; the sweep may see it late, by less than it waits.
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether a stream of it is read, or a request is in flight on its own child.
    pub fn is_in_use(&self) -> bool {
        let in_flight = |child: &OwnedChild| child.routes.in_flight() > 0;
        self.outbox().has_stream() || self.replay.is_read() || self.child().is_some_and(in_flight)
    }

    /// When it was used last, as far as it was noted.
    pub fn used_ms(&self) -> u64 {
        // Relaxed: see `touch`.
        self.used_ms.load(Ordering::Relaxed)
    }

    /// Ends its streams and its requests.
    pub fn end(&self) {
        self.outbox.close();
        self.replay.close();
        if let Some(child) = self.child() {
            child.routes.end(Fault::new(
                Code::SessionEnded,
                "the session was ended; initialize a new one",
            ));
        }
    }

    /// Whether its child is gone, and so the session.
    pub fn is_dead(&self) -> bool {
        self.child().is_some_and(|child| child.routes.is_over())
    }
}
