//! A client's connection that hyper reads: h2, or HTTP/1.1 in front of an upstream that speaks h2.

use std::convert::Infallible;
use std::pin::pin;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::forward::forward;
use super::rewound::Rewound;
use crate::proxy::plain::wire::Inbox;
use crate::proxy::plain::worker::Worker;
use crate::sync::Arc;

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// HTTP/1.1.
    Http1,
    /// h2, known beforehand.
    Http2,
}

/// Requests of one client under way at a time.
const MAX_STREAMS: u32 = 256;

/// Serves a connection to its end, what was read of it first.
pub async fn serve(
    front: Front,
    stream: TcpStream,
    inbox: Inbox,
    peer: String,
    worker: Arc<Worker>,
) {
    let options = &worker.shared.options;
    let io = TokioIo::new(Rewound { inbox, stream });
    let (peer, of) = (Arc::<str>::from(peer), worker.clone());
    let service = service_fn(move |request| {
        let (peer, worker) = (peer.clone(), of.clone());
        async move { Ok::<_, Infallible>(forward(request, &peer, &worker).await) }
    });
    let mut closed = pin!(worker.closed());
    let ended = match front {
        Front::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(options.client_idle)
                .max_buf_size(options.limits.max_head_bytes.max(8192))
                .max_headers(options.limits.max_fields)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = &mut closed => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        Front::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(options.client_idle)
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(options.limits.max_head_bytes as u32)
                .serve_connection(io, service);
            let mut connection = pin!(connection);
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = &mut closed => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
