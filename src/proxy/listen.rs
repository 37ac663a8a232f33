//! Taking connections and serving HTTP/1.1 on them.
//!
//! Promise: out of descriptors, the proxy waits and goes on; a client that is slow with its head is
//! cut off; at a shutdown a connection ends after the request it is in, and one that is idle is given
//! time for a last request, which may be on its way.

use crate::sync::Arc;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::front::{self, Front, Phase};
use super::takeover;

/// How long a client may take for the head of a request; an idle connection is closed after it, too.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);
/// The longest head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Takes connections until the proxy shuts down.
pub async fn accept(front: Arc<Front>, listener: TcpListener) {
    let _listening = front.listeners.serve();
    let mut leaving = pin!(front.reaches(Phase::Leaving));
    loop {
        tokio::select! {
            (stream, _) = takeover::accept(&listener) => begin(&front, stream),
            () = &mut leaving => break,
        }
    }
    let reuse_port = front.config.reuse_port;
    takeover::leave(listener, reuse_port, |stream| begin(&front, stream)).await;
}

fn begin(front: &Arc<Front>, stream: TcpStream) {
    let served = front.tasks.serve();
    let front_of = front.clone();
    front.tasks.spawn(async move {
        serve(front_of, stream).await;
        drop(served);
    });
}

async fn serve(front: Arc<Front>, stream: TcpStream) {
    // Answers are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    // Boxed: hyper sets the place of a request's future aside for as long as the connection lasts, which
    // is idle most of the time.
    let service = service_fn(|request| {
        Box::pin(async { Ok::<_, Infallible>(front::serve(&front, request).await) })
    });
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
        () = front.reaches(Phase::Closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
