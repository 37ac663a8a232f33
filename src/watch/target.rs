//! What a connection shows to the watch: its socket, and what bytes on it mean.

use std::os::fd::BorrowedFd;

use crate::IdleBytes;

/// A connection that [`IdleWatch`](super::IdleWatch) can watch.
///
/// For a foreign type there are [`Layered`](crate::transport::Layered), for a layer over TCP such as TLS,
/// [`Watched`](super::Watched), for what does not show its socket, and
/// [`IdleWatch::by`](super::IdleWatch::by), which needs no impl.
pub trait WatchTarget {
    /// The socket; `None` if there is nothing to watch. It stays the same one for as long as the
    /// connection is not used.
    fn socket(&self) -> Option<BorrowedFd<'_>>;

    /// What bytes mean that come while nobody uses the connection.
    fn idle_bytes(&self) -> IdleBytes {
        IdleBytes::Deadly
    }
}
