//! A client's connection that hyper reads: h2, or HTTP/1.1 in front of an upstream that speaks h2.
//!
//! Promise: one that asks for nothing ends when its time is over, and so does one that never says what it speaks, or
//! does not take what it asked for; at a shutdown, requests that are on their way are still served.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::body::Answer;
use super::forward::{Visit, forward};
use super::pulse::Pulse;
use super::rewound::Rewound;
use super::sieve::{Sieve, Verdict};
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
/// What hyper keeps of one answer that its client does not take.
const MAX_SEND_BYTES: usize = 64 << 10;
/// How often a connection looks at its clock, at most.
const LOOK: Duration = Duration::from_secs(5);
/// How long a client may take to go after it was told to.
const LEAVE: Duration = Duration::from_secs(2);

/// The rest of a connection, whoever reads it.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// Ends it after what is under way.
    fn finish(self: Pin<&mut Self>);
}

/// Serves a connection to its end, what was read of it first.
pub async fn serve(
    front: Front,
    stream: TcpStream,
    inbox: Inbox,
    peer: String,
    worker: Arc<Worker>,
) {
    let (pulse, verdict) = (Pulse::new(), Arc::new(Verdict::default()));
    let limits = worker.shared.rules().limits.clone();
    let from = Rewound { inbox, stream };
    let (named, of) = (Arc::<str>::from(&*peer), worker.clone());
    let (busy, judged) = (pulse.clone(), verdict.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (peer, worker, busy) = (named.clone(), of.clone(), busy.begin());
        let refusal = match front {
            Front::Http1 => judged.next(),
            Front::Http2 => None,
        };
        async move {
            let visit = Visit {
                request,
                peer: &peer,
                worker: &worker,
                busy,
                refusal,
            };
            Ok::<Response<Answer>, Infallible>(forward(visit).await)
        }
    });
    match front {
        Front::Http1 => {
            let sieve = Sieve::new(from, peer, worker.shared.clone(), verdict);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(worker.shared.rules().client_idle)
                .max_buf_size(limits.max_head_bytes.max(8192))
                .max_headers(limits.max_fields)
                .serve_connection(TokioIo::new(sieve), service);
            converse(pin!(connection), &worker, &pulse, front).await;
        }
        Front::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(worker.shared.rules().client_idle)
                .max_concurrent_streams(MAX_STREAMS)
                .max_send_buf_size(MAX_SEND_BYTES)
                .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
                .serve_connection(TokioIo::new(from), service);
            converse(pin!(connection), &worker, &pulse, front).await;
        }
    }
}

async fn converse<C: Conversation>(
    mut connection: Pin<&mut C>,
    worker: &Worker,
    pulse: &Pulse,
    front: Front,
) {
    let leaving = async {
        match front {
            // It ends in an order of its own: what the client sends before it hears of the end is served.
            Front::Http2 => worker.shared.left().await,
            Front::Http1 => worker.shared.closed().await,
        }
    };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stuck(worker, pulse) => Ok(()),
        () = async { tokio::select! { () = leaving => {}, () = rests(worker, pulse) => {} } } => {
            finished(connection, pulse).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Ends with what is under way; soon where nothing is: the client may never have shaken hands, or be gone.
async fn finished<C: Conversation>(
    mut connection: Pin<&mut C>,
    pulse: &Pulse,
) -> hyper::Result<()> {
    connection.as_mut().finish();
    loop {
        match timeout(LEAVE, connection.as_mut()).await {
            Ok(ended) => return ended,
            Err(_) if pulse.is_idle() || pulse.is_stuck() => return Ok(()),
            Err(_) => {}
        }
    }
}

/// Ends when nothing was asked for too long.
async fn rests(worker: &Worker, pulse: &Pulse) {
    loop {
        let idle = worker.shared.rules().client_idle;
        sleep((idle / 4).clamp(Duration::from_millis(1), LOOK)).await;
        if pulse.rests_for(idle) {
            return;
        }
    }
}

/// Ends when the client left an answer standing for too long.
async fn stuck(worker: &Worker, pulse: &Pulse) {
    while !pulse.is_stuck() {
        sleep(worker.shared.beat()).await;
    }
}

impl<S, B> Conversation for http1::Connection<TokioIo<Sieve>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<crate::BoxError>,
    B: hyper::body::Body + 'static,
    B::Error: Into<crate::BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B> Conversation for http2::Connection<TokioIo<Rewound>, S, TokioExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<crate::BoxError>,
    B: hyper::body::Body + 'static,
    B::Error: Into<crate::BoxError>,
    TokioExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
