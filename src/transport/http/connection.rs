//! One connection to an upstream as a pooled value.
//!
//! Promise: it is unhealthy from the first byte of a request to the last of its answer, and from the
//! moment its end was read. Cost: a look is two loads.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::HttpTarget;
use crate::{BoxError, PoolableResource};

/// A connection, from its dial on.
pub struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
    busy: bool,
    used: bool,
    born: Instant,
}

/// A connection that was closed before it was this old was never wanted by the upstream: one more dial
/// would end the same way.
const INFANCY: Duration = Duration::from_secs(1);

/// An exchange that has no answer.
pub enum Failed {
    /// Not a byte was written: here it is again.
    Unsent(Box<Request<Full<Bytes>>>),
    /// It may have been seen.
    Lost(hyper::Error),
}

impl HttpConnection {
    /// Dials the upstream.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub async fn dial(target: &HttpTarget) -> Result<Self, BoxError> {
        let named = |error: std::io::Error| -> BoxError { format!("{target}: {error}").into() };
        let stream = TcpStream::connect((target.host(), target.port())).await;
        let stream = stream.map_err(named)?;
        // Requests are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an upstream broke off");
            }
        });
        Ok(Self {
            sender,
            task: task.abort_handle(),
            busy: false,
            used: false,
            born: Instant::now(),
        })
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
        if self.sender.ready().await.is_err() {
            return Err(Failed::Unsent(Box::new(request)));
        }
        let sent = self.sender.try_send_request(request).await;
        self.used = true;
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
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
