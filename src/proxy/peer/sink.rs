//! Where the messages of a peer go.

use bytes::Bytes;

use crate::proxy::wire::{Fault, RequestId};
use crate::transport::LineSink;

/// The stream that a message of a peer came on, which says what it relates to.
#[derive(Clone, Copy, Debug)]
pub enum Stream<'a> {
    /// The only one that a child has: it says nothing.
    Only,
    /// That of the request which the peer knows by this id.
    Request(&'a RequestId),
    /// The session's own.
    Session,
}

/// What of what an upstream says unasked may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// That a resource changed.
    Updates,
    /// That, and that a list did.
    UpdatesAndLists,
}

/// Takes the messages of a peer, and learns what became of requests that it will not answer.
///
/// A child brings its lines in order; the answers of an upstream over HTTP come on connections of their
/// own, so they may meet here.
pub trait PeerSink: LineSink {
    /// Takes a message of an upstream over HTTP, and the stream that it came on.
    fn on_line_of(&self, line: Bytes, stream: Stream<'_>) {
        let _ = stream;
        self.on_line(line);
    }

    /// Learns that the answer to the request which the peer knows by this id has begun.
    fn on_sign(&self, id: &RequestId) {
        let _ = id;
    }

    /// Learns that the request which the peer knows by this id will not be answered.
    fn on_fault(&self, id: &RequestId, fault: Fault);

    /// Learns that what the upstream says unasked may have been missed for a while.
    fn on_gap(&self, missed: Missed) {
        let _ = missed;
    }

    /// Learns that the upstream does not know the session any more: nothing new is to be sent in it. `true`: what
    /// is under way may find that out by itself; `false`: it is to be ended.
    fn on_lost(&self, reason: &str) -> bool {
        let _ = reason;
        false
    }

    /// Learns that the upstream's session is over: nothing will follow.
    fn on_over(&self, reason: &str);
}
