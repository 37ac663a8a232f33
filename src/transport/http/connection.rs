//! One connection to an upstream as a pooled value.
//!
//! Promise: it is unhealthy from the first byte of a request to the last of its answer, and from the
//! moment its end was read. Cost: a look is two loads.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::HttpTarget;
use super::sender::Sender;
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::{BoxError, PoolableResource};

/// How the connections of one client are made.
#[derive(Clone)]
pub struct Dialler {
    target: HttpTarget,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// A connection, from its dial on.
pub struct HttpConnection {
    sender: Sender,
    task: AbortHandle,
    busy: bool,
    used: bool,
    born: Instant,
}

/// A connection that was closed before it was this old was never wanted by the upstream: one more dial
/// would end the same way.
const INFANCY: Duration = Duration::from_secs(1);

/// After which silence a peer is looked for, how often, and how many looks in vain end the connection.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(30);
#[cfg(target_os = "linux")]
const BETWEEN: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const LOOKS: u32 = 3;

/// An exchange that has no answer.
pub enum Failed {
    /// Not a byte was written.
    Unsent,
    /// It may have been seen.
    Lost(hyper::Error),
}

impl Dialler {
    /// For an upstream; nothing is dialled yet.
    ///
    /// # Errors
    ///
    /// The system has no certificate to trust, where one is needed.
    pub fn new(target: HttpTarget) -> Result<Self, BoxError> {
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: target.is_tls().then(Tls::of_system).transpose()?,
            target,
        })
    }

    /// Dials the upstream.
    ///
    /// # Errors
    ///
    /// What the system said, or what is wrong with the upstream's certificate.
    pub async fn dial(&self) -> Result<HttpConnection, BoxError> {
        let target = &self.target;
        let stream = TcpStream::connect((target.host(), target.port())).await;
        let stream = stream.map_err(|error| self.named(error.into()))?;
        // Requests are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        keep_alive(&stream);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let shaken = tls.connect(target.host(), stream).await;
            let (stream, is_http2) = shaken.map_err(|error| self.named(error))?;
            let (sender, task) = if is_http2 {
                Sender::http2(stream).await?
            } else {
                Sender::http1(stream).await?
            };
            return Ok(HttpConnection::new(sender, task));
        }
        let (sender, task) = Sender::http1(stream).await?;
        Ok(HttpConnection::new(sender, task))
    }

    fn named(&self, error: BoxError) -> BoxError {
        format!("{}: {error}", self.target).into()
    }
}

/// Has the system look after a peer that says nothing: a stream may be silent for hours, and who only reads is not
/// told that the way to it is gone. Where that is not offered, the stream is as it would be without.
#[cfg(target_os = "linux")]
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, BETWEEN))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, LOOKS));
}

#[cfg(not(target_os = "linux"))]
fn keep_alive(_: &TcpStream) {}

impl HttpConnection {
    fn new(sender: Sender, task: AbortHandle) -> Self {
        Self {
            sender,
            task,
            busy: false,
            used: false,
            born: Instant::now(),
        }
    }

    /// Whether requests name their upstream by a whole URL instead of a `Host`.
    pub fn is_http2(&self) -> bool {
        self.sender.is_http2()
    }

    /// Whether its end may have to do with its age: then another one may fare better.
    pub fn is_grown(&self) -> bool {
        self.used || self.born.elapsed() >= INFANCY
    }

    /// Sends a request; the connection stays busy until [`rest`](Self::rest).
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failed> {
        self.busy = true;
        if !self.sender.is_ready().await {
            return Err(Failed::Unsent);
        }
        let sent = self.sender.send(request).await;
        self.used = true;
        sent.map_err(|mut error| match error.take_message() {
            Some(_) => Failed::Unsent,
            None => Failed::Lost(error.into_error()),
        })
    }

    /// Its answer was read to the end.
    pub fn rest(&mut self) {
        self.busy = false;
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        // In the middle of an answer the peer learns at once that nobody reads it.
        self.task.abort();
    }
}

impl PoolableResource for HttpConnection {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        // One that died in its infancy is handed out: its taker learns that the upstream drops
        // connections, where the pool would dial again and again.
        !self.busy && (!self.sender.is_closed() || !self.is_grown())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::net::sockopt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_is_gone_without_a_word_is_looked_for() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = stream.unwrap();
        keep_alive(&stream);
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        let (idle, between) = (
            sockopt::tcp_keepidle(&stream),
            sockopt::tcp_keepintvl(&stream),
        );
        assert_eq!((idle, between), (Ok(SILENCE), Ok(BETWEEN)));
        assert_eq!(sockopt::tcp_keepcnt(&stream), Ok(LOOKS));
    }
}
