//! A stream over TCP with a layer between, TLS for one: its health is that of the socket below.
//!
//! Promise: healthy until the peer ends the connection, whatever it says before that nobody asked for: TLS
//! sends tickets, and new keys. Cost: one load, and a second where there are such bytes; no system call.

use std::fmt;
use std::ops::{Deref, DerefMut};

use tokio::net::TcpStream;

use super::tcp::is_alive;
use crate::{IdleBytes, PoolableResource};

/// A stream of a foreign type with a [`TcpStream`] inside, ready to be pooled and, with the feature `watch`,
/// to be watched.
///
/// ```
/// # #[cfg(all(feature = "tcp", unix))] mod example {
/// use std::sync::Arc;
///
/// use plunge::transport::Layered;
/// use plunge::{BoxError, OptionsError, Pool, PoolOptions};
/// use tokio::net::TcpStream;
/// use tokio_rustls::rustls::pki_types::ServerName;
/// use tokio_rustls::rustls::{ClientConfig, RootCertStore};
/// use tokio_rustls::{TlsConnector, client::TlsStream};
///
/// async fn connect(connector: TlsConnector) -> Result<Layered<TlsStream<TcpStream>>, BoxError> {
///     let stream = TcpStream::connect("127.0.0.1:443").await?;
///     let name = ServerName::try_from("example.org")?;
///     let stream = connector.connect(name, stream).await?;
///     Ok(Layered::new(stream, |stream| stream.get_ref().0))
/// }
///
/// pub fn build(roots: RootCertStore) -> Result<Pool<Layered<TlsStream<TcpStream>>>, OptionsError> {
///     let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
///     let connector = TlsConnector::from(Arc::new(config));
///     PoolOptions::new().connect_with(move || connect(connector.clone()))
/// }
/// # }
/// ```
///
/// What the layer itself knows, that its peer said goodbye for one, is not asked: the end of the connection
/// comes right after.
pub struct Layered<S> {
    stream: S,
    socket: fn(&S) -> &TcpStream,
}

impl<S> Layered<S> {
    /// A stream, and how to find the socket below it.
    pub fn new(stream: S, socket: fn(&S) -> &TcpStream) -> Self {
        Self { stream, socket }
    }

    /// The stream.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Send + 'static> PoolableResource for Layered<S> {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        is_alive((self.socket)(&self.stream), IdleBytes::Harmless)
    }
}

#[cfg(feature = "watch")]
impl<S> crate::watch::WatchTarget for Layered<S> {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd((self.socket)(&self.stream)))
    }

    fn idle_bytes(&self) -> IdleBytes {
        IdleBytes::Harmless
    }
}

impl<S> Deref for Layered<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S> DerefMut for Layered<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: fmt::Debug> fmt::Debug for Layered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layered").field(&self.stream).finish()
    }
}
