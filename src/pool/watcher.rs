//! The seam to whoever watches idle connections from outside the pool.
//!
//! Promise: what is watched is unwatched before it is closed, checked, shown to a hook that may use
//! it, or given away. Cost: nothing on a hit; a few looks of maintenance for each connection that
//! was idle for a while.

use std::num::NonZero;
use std::time::Duration;

use super::alarm::IdleAlarm;

/// What bytes mean that come while nobody uses the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum IdleBytes {
    /// The end of the connection: an answer that nobody asked for would go to the next caller.
    /// True of every protocol in which the client speaks first.
    #[default]
    Deadly,
    /// Nothing: TLS sends session tickets, HTTP/2 sends frames at any time. Only the end of the
    /// stream is the end of the connection.
    Harmless,
}

/// The name that a watcher gives to what it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchKey(pub NonZero<u64>);

/// Watches connections that nobody holds, and raises an [`IdleAlarm`] when one dies.
///
/// Set by [`PoolOptions::watch`](super::PoolOptions::watch). `watch::IdleWatch` (feature `watch`)
/// is one for everything that has a socket.
pub trait IdleWatcher<T>: Send + Sync + 'static {
    /// After how long idle a connection is cold and is to be watched.
    fn cold_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Begins to watch a connection, which is idle again when this returns. Called by maintenance,
    /// between two looks at idle connections: it must not wait.
    ///
    /// The connection stays watched when it is taken, so that a hit pays nothing: from the moment
    /// that the alarm [is off](IdleAlarm::is_off) events are a holder's doing, and the watcher is
    /// best rid of it. When it is cold again this is called again, with a new alarm.
    ///
    /// `None`: there is nothing to watch, or no means to.
    fn watch(&self, connection: &T, alarm: IdleAlarm) -> Option<WatchKey>;

    /// Ends it. When this returns the watcher does not touch the connection's descriptor any more.
    /// Called for each key once, also when it was watched again under another one since.
    ///
    /// Runs where connections are retired, drops included: it must neither wait nor panic.
    fn unwatch(&self, key: WatchKey);
}
