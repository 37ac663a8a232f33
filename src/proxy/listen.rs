//! Taking connections and serving HTTP/1.1 on them.
//!
//! Promise: out of descriptors, the proxy waits and goes on; a client that is slow with its head is
//! cut off; at a shutdown a connection ends after the request it is in.

use crate::sync::Arc;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::endpoint;
use super::state::AppState;

/// How long a client may take for the head of a request; an idle connection is closed after it, too.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// The longest head.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to wait after the system refused a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the proxy shuts down.
pub async fn accept(state: Arc<AppState>, listener: TcpListener) {
    let mut closed = pin!(closed(&state));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closed => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = state.tasks.serve();
                let state_of = state.clone();
                state.tasks.spawn(async move {
                    serve(state_of, stream).await;
                    drop(served);
                });
            }
            Err(error) => {
                // Out of descriptors, or a client that left early: neither ends the proxy.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

async fn serve(state: Arc<AppState>, stream: TcpStream) {
    // Answers are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(endpoint::serve(&state, request).await) });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closed(&state) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Ends when the proxy shuts down.
async fn closed(state: &AppState) {
    // The sender lives in `state`.
    let _ = state.closing.subscribe().wait_for(|closing| *closing).await;
}
