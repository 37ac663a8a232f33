//! A connection beside a handle of its socket, for types that hide or give away the latter.
//!
//! Promise: the handle lives as long as the connection and is closed with it, so that its number is
//! nobody else's meanwhile. Cost: one descriptor a connection, 24 bytes; a health test is the call of
//! a plain function.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::target::WatchTarget;
use crate::{IdleBytes, PoolableResource};

/// A connection of a foreign type with its socket, ready to be pooled and watched.
///
/// hyper, for one, moves the socket into a task of its own; the handle is taken before that:
///
/// ```
/// # #[cfg(all(feature = "watch", unix))] mod example {
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use hyper::client::conn::http1::{SendRequest, handshake};
/// use hyper_util::rt::TokioIo;
/// use plunge::watch::{IdleWatch, Watched};
/// use plunge::{BoxError, IdleBytes, OptionsError, Pool, PoolOptions};
/// use tokio::net::TcpStream;
///
/// type Client = Watched<SendRequest<Empty<Bytes>>>;
///
/// async fn connect() -> Result<Client, BoxError> {
///     let stream = TcpStream::connect("127.0.0.1:80").await?;
///     let socket = Client::socket_of(&stream)?;
///     let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
///     tokio::spawn(connection);
///     sender.ready().await?; // not before its task runs
///     let watched = Watched::new(sender, socket, IdleBytes::Deadly);
///     Ok(watched.healthy_while(|sender| sender.is_ready()))
/// }
///
/// pub fn build() -> Result<Pool<Client>, OptionsError> {
///     PoolOptions::new().watch(IdleWatch::new()).connect_with(connect)
/// }
/// # }
/// ```
///
/// For HTTP/2 say [`IdleBytes::Harmless`]; for a TLS stream there is [`Layered`](crate::transport::Layered). The peer sees the end of the stream when this,
/// too, is dropped, and the pool drops it when it retires the connection.
pub struct Watched<T> {
    inner: T,
    is_healthy: fn(&T) -> bool,
    socket: OwnedFd,
    idle_bytes: IdleBytes,
}

impl<T> Watched<T> {
    /// Puts a connection and its socket together.
    pub fn new(inner: T, socket: OwnedFd, idle_bytes: IdleBytes) -> Self {
        Self {
            inner,
            is_healthy: |_| true,
            socket,
            idle_bytes,
        }
    }

    /// A second handle of a socket, for a connection that gives the first one away.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn socket_of(socket: &impl AsFd) -> io::Result<OwnedFd> {
        socket.as_fd().try_clone_to_owned()
    }

    /// Says how to tell from what is already known whether the connection is of use: a load or two.
    pub fn healthy_while(mut self, is_healthy: fn(&T) -> bool) -> Self {
        self.is_healthy = is_healthy;
        self
    }

    /// The connection; the second handle is closed.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> WatchTarget for Watched<T> {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn idle_bytes(&self) -> IdleBytes {
        self.idle_bytes
    }
}

impl<T: Send + 'static> PoolableResource for Watched<T> {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        (self.is_healthy)(&self.inner)
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: fmt::Debug> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.inner).finish()
    }
}
