//! A client's connection that hyper reads: h2, or HTTP/1.1 in front of an upstream that speaks h2.
//!
//! Promise: one that asks for nothing ends when its time is over, and so does one that never says what it speaks, or
//! does not take what it asked for; at a shutdown, requests that are on their way are still served, and their answers
//! go on for as long as their clients take them.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::body::Answer;
use super::forward::{Visit, forward};
use super::pulse::Pulse;
use super::requests::{Requests, Verdict};
use super::rewound::Rewound;
use super::sieve::Sieve;
use super::streams::Streams;
use crate::proxy::plain::head::MOST_FIELDS;
use crate::proxy::plain::seats;
use crate::proxy::plain::wire::Inbox;
use crate::proxy::plain::worker::Worker;
use crate::sync::Arc;

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
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
/// How long a client may do nothing before it goes, after it was told to.
const LEAVE: Duration = Duration::from_secs(2);

/// The rest of a connection, whoever reads it.
trait Conversation: Future<Output = hyper::Result<()>> {
    /// Ends it after what is under way.
    fn finish(self: Pin<&mut Self>);
}

/// Serves a connection to its end, what was read of it first.
pub async fn serve(
    dialect: Dialect,
    stream: TcpStream,
    inbox: Inbox,
    peer: String,
    worker: Arc<Worker>,
) {
    let (pulse, verdict) = (Pulse::new(), Arc::new(Verdict::default()));
    let limits = worker.shared.rules().limits.clone();
    let from = Rewound::new(stream, inbox, pulse.clone());
    let (named, of) = (Arc::<str>::from(&*peer), worker.clone());
    let (busy, judged) = (pulse.clone(), verdict.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (peer, worker, busy) = (named.clone(), of.clone(), busy.begin());
        let refused = match dialect {
            Dialect::Http1 => judged.next(),
            Dialect::Http2 => None,
        };
        async move {
            let visit = Visit {
                request,
                peer: &peer,
                worker: &worker,
                busy,
                refused,
            };
            Ok::<Response<Answer>, Infallible>(forward(visit).await)
        }
    });
    match dialect {
        Dialect::Http1 => {
            let requests = Requests::new(peer, worker.shared.clone(), verdict, pulse.clone());
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // The sieve and the pulse have clocks of their own.
                .header_read_timeout(None)
                .max_buf_size(limits.max_head_bytes.max(8192))
                .max_headers(MOST_FIELDS)
                .serve_connection(TokioIo::new(Sieve::new(from, requests)), service);
            converse(pin!(connection), &worker, &pulse, dialect).await;
        }
        Dialect::Http2 => {
            let connection = http2::Builder::new(Streams)
                .timer(TokioTimer::new())
                .keep_alive_interval(worker.shared.rules().client_idle)
                .max_concurrent_streams(MAX_STREAMS)
                .max_send_buf_size(MAX_SEND_BYTES)
                .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
                .serve_connection(TokioIo::new(from), service);
            converse(pin!(connection), &worker, &pulse, dialect).await;
        }
    }
}

/// Runs a connection to its end, or to that of its client's time.
async fn converse<C: Conversation>(
    connection: Pin<&mut C>,
    worker: &Worker,
    pulse: &Pulse,
    dialect: Dialect,
) {
    let ended = tokio::select! {
        biased;
        ended = run(connection, worker, pulse, dialect) => ended,
        () = stuck(worker, pulse) => Ok(()),
        () = comes_true(|| pulse.is_flooded()) => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn run<C: Conversation>(
    mut connection: Pin<&mut C>,
    worker: &Worker,
    pulse: &Pulse,
    dialect: Dialect,
) -> hyper::Result<()> {
    tokio::select! {
        biased;
        ended = connection.as_mut() => return ended,
        () = told(worker, pulse, dialect) => spare(pulse, dialect),
        () = rests(worker, pulse) => spare(pulse, dialect),
        () = comes_true(|| pulse.is_shut()) => {}
    }
    connection.as_mut().finish();
    tokio::select! {
        biased;
        ended = connection => ended,
        () = gone(worker, pulse) => Ok(()),
    }
}

/// Notes that nothing is under way, which in h2 is only known at the end.
fn spare(pulse: &Pulse, dialect: Dialect) {
    if dialect == Dialect::Http1 {
        pulse.spare();
    }
}

/// Ends when a shutdown asks for the end of the connection.
async fn told(worker: &Worker, pulse: &Pulse, dialect: Dialect) {
    match dialect {
        // It ends in an order of its own: what the client sends before it hears of the end is served.
        Dialect::Http2 => worker.shared.until_draining().await,
        // Each answer is the last by then; a head that was begun is still answered.
        Dialect::Http1 => {
            worker.shared.until_closing().await;
            comes_true(|| pulse.is_idle()).await;
        }
    }
}

/// Ends when something is so that only changes when the connection is polled, in the same task just before.
async fn comes_true(is_so: impl Fn() -> bool) {
    poll_fn(|_| match is_so() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await
}

/// Ends when nothing was asked for too long.
async fn rests(worker: &Worker, pulse: &Pulse) {
    loop {
        let idle = worker.shared.rules().client_idle;
        sleep((idle / 4).clamp(Duration::from_millis(1), LOOK)).await;
        let seats = &worker.shared.seats;
        let makes_room = || seats.are_wanted() && pulse.rests_for(seats::IDLE) && seats.take_one();
        if pulse.rests_for(idle) || makes_room() {
            return;
        }
    }
}

/// Ends when the client left an answer standing for too long that cannot end alone.
async fn stuck(worker: &Worker, pulse: &Pulse) {
    while pulse.end_stuck() {
        sleep(worker.shared.beat()).await;
    }
}

/// Ends when nothing is under way and the client takes nothing more of what was said: it may never have shaken hands, or
/// be gone.
async fn gone(worker: &Worker, pulse: &Pulse) {
    let told = pulse.now();
    loop {
        let most = worker.shared.rules().client_idle.max(LEAVE);
        let left = pulse.ends_in(told, LEAVE, most);
        if left.is_zero() {
            return;
        }
        sleep(left).await;
    }
}

impl<S, B> Conversation for http1::Connection<TokioIo<Sieve<Requests>>, S>
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

impl<S, B> Conversation for http2::Connection<TokioIo<Rewound>, S, Streams>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<crate::BoxError>,
    B: hyper::body::Body + 'static,
    B::Error: Into<crate::BoxError>,
    Streams: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
