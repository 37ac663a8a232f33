//! The way in to one connection, whichever HTTP it speaks.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

type Body = Full<Bytes>;

/// Sends requests, one after the other.
pub(super) enum Sender {
    /// HTTP/1.1.
    One(http1::SendRequest<Body>),
    /// HTTP/2.
    #[cfg(feature = "tls")]
    Two(hyper::client::conn::http2::SendRequest<Body>),
}

impl Sender {
    /// Speaks HTTP/1.1 on this stream; also names the task that does it.
    pub(super) async fn http1(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<(Self, AbortHandle)> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok((Self::One(sender), run(connection)))
    }

    /// Speaks HTTP/2 on this stream; also names the task that does it.
    #[cfg(feature = "tls")]
    pub(super) async fn http2(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<(Self, AbortHandle)> {
        let executor = hyper_util::rt::TokioExecutor::new();
        let stream = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await?;
        Ok((Self::Two(sender), run(connection)))
    }

    /// Whether it is HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        !matches!(self, Self::One(_))
    }

    /// Waits until it takes a request; `false`: it never will.
    pub(super) async fn is_ready(&mut self) -> bool {
        let ready = match self {
            Self::One(sender) => sender.ready().await,
            #[cfg(feature = "tls")]
            Self::Two(sender) => sender.ready().await,
        };
        ready.is_ok()
    }

    /// Sends one.
    ///
    /// # Errors
    ///
    /// hyper's, with the request where nothing of it was written.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::One(sender) => sender.try_send_request(request).await,
            #[cfg(feature = "tls")]
            Self::Two(sender) => sender.try_send_request(request).await,
        }
    }

    /// Whether its end was seen.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            #[cfg(feature = "tls")]
            Self::Two(sender) => sender.is_closed(),
        }
    }
}

fn run(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an upstream broke off");
        }
    });
    task.abort_handle()
}
