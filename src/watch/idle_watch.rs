//! The watcher that pools are given: which sockets are watched, and from when on.

use std::fmt;
use std::num::NonZero;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::poller;
use super::target::WatchTarget;
use crate::sync::Arc;
use crate::{IdleAlarm, IdleBytes, IdleWatcher, WatchKey};

/// Watches the sockets of idle connections, on one thread for all pools of the process.
///
/// The end of the stream, a reset, and bytes where they are [`Deadly`](IdleBytes::Deadly) have the
/// connection retired. A connection is watched once it was idle for a second; before that its own
/// health test is what there is.
///
/// # Cost
///
/// Nothing on a hit. A connection that is used after it was cold costs the thread one event at most,
/// and no system call of whoever uses it.
pub struct IdleWatch<T> {
    cold_after: Duration,
    look: Look<T>,
}

type Seen<'a> = Option<(BorrowedFd<'a>, IdleBytes)>;
type Look<T> = Arc<dyn for<'a> Fn(&'a T) -> Seen<'a> + Send + Sync>;

impl<T: WatchTarget + 'static> IdleWatch<T> {
    /// Watches connections that show their socket.
    #[expect(
        clippy::new_without_default,
        reason = "it starts nothing by itself, but it is no empty value"
    )]
    pub fn new() -> Self {
        Self::with(|target: &T| Some((target.socket()?, target.idle_bytes())))
    }
}

impl<T: 'static> IdleWatch<T> {
    /// Watches connections of a foreign type, by a function that finds their socket.
    ///
    /// ```
    /// # #[cfg(all(feature = "watch", unix))] fn build() {
    /// use std::os::fd::AsFd;
    ///
    /// use plunge::{IdleBytes, Plain};
    /// use plunge::watch::IdleWatch;
    /// use tokio::io::BufStream;
    /// use tokio::net::TcpStream;
    ///
    /// type Buffered = Plain<BufStream<TcpStream>>;
    /// let watch = IdleWatch::by(IdleBytes::Deadly, |stream: &Buffered| {
    ///     Some(stream.0.get_ref().as_fd())
    /// });
    /// # drop(watch);
    /// # }
    /// ```
    ///
    /// For a TLS stream there is [`Layered`](crate::transport::Layered), which has a health test, too.
    pub fn by<F>(idle_bytes: IdleBytes, socket: F) -> Self
    where
        F: for<'a> Fn(&'a T) -> Option<BorrowedFd<'a>> + Send + Sync + 'static,
    {
        Self::with(move |connection: &T| Some((socket(connection)?, idle_bytes)))
    }

    fn with<F>(look: F) -> Self
    where
        F: for<'a> Fn(&'a T) -> Seen<'a> + Send + Sync + 'static,
    {
        Self {
            cold_after: Duration::from_secs(1),
            look: Arc::new(look),
        }
    }

    /// After how long idle a connection is watched. 1 s unless set.
    pub fn cold_after(mut self, idle: Duration) -> Self {
        self.cold_after = idle;
        self
    }
}

impl<T: 'static> IdleWatcher<T> for IdleWatch<T> {
    fn cold_after(&self) -> Duration {
        self.cold_after
    }

    fn watch(&self, connection: &T, alarm: IdleAlarm) -> Option<WatchKey> {
        let (socket, bytes) = (self.look)(connection)?;
        let key = poller::watch(socket, bytes, alarm)?;
        NonZero::new(key).map(WatchKey)
    }

    fn unwatch(&self, key: WatchKey) {
        poller::unwatch(key.0.get());
    }
}

impl<T> fmt::Debug for IdleWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleWatch")
            .field("cold_after", &self.cold_after)
            .finish_non_exhaustive()
    }
}
