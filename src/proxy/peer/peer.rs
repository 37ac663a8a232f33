//! One peer, pooled.

use super::{PeerSink, PeerWriter};
use crate::PoolableResource;
use crate::proxy::remote::Remote;
use crate::sync::Arc;
use crate::transport::{LineCounters, Subprocess};

/// A child, or a session with an upstream over HTTP.
pub enum Peer {
    /// A child process.
    Child(Subprocess),
    /// An upstream over HTTP.
    Remote(Remote),
}

impl Peer {
    /// Sends every message from now on to `sink`, which replaces an earlier one.
    pub fn attach(&self, sink: Arc<dyn PeerSink>) {
        match self {
            Self::Child(child) => child.attach(sink),
            Self::Remote(remote) => remote.attach(sink),
        }
    }

    /// The way in.
    pub fn writer(&self) -> PeerWriter {
        match self {
            Self::Child(child) => PeerWriter::Child(child.writer()),
            Self::Remote(remote) => PeerWriter::Remote(remote.writer()),
        }
    }

    /// The process id of a child.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Child(child) => Some(child.pid()),
            Self::Remote(_) => None,
        }
    }

    /// What a child wrote that is no answer.
    pub fn counters(&self) -> Option<LineCounters> {
        match self {
            Self::Child(child) => Some(child.counters()),
            Self::Remote(_) => None,
        }
    }

    /// Lets go of one that is of no use: an upstream is told that its session ends, a child needs no word.
    pub async fn leave(self) {
        if let Self::Remote(remote) = self {
            remote.close().await;
        }
    }

    /// Ends it without asking.
    pub fn kill(self) {
        match self {
            Self::Child(child) => child.kill(),
            Self::Remote(remote) => drop(remote),
        }
    }
}

impl PoolableResource for Peer {
    fn is_healthy(&self) -> bool {
        match self {
            Self::Child(child) => child.is_healthy(),
            Self::Remote(remote) => !remote.is_over(),
        }
    }

    async fn close(self) {
        match self {
            Self::Child(child) => child.close().await,
            Self::Remote(remote) => remote.close().await,
        }
    }
}
