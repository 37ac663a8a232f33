//! A client's connection: its requests, one after the other.
//!
//! Promise: requests are answered in order; what is refused is told why, and its connection ends in a way
//! that lets the client read it; a shutdown lets the request under way end.
//! Cost: a task a connection; while it waits it holds no buffer.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::access::Entry;
use super::bridge;
use super::connection::Connection;
use super::deadline::Patience;
use super::exchange::{End, Side, exchange};
use super::head::{Request, Terms, parse_request};
use super::note::Note;
use super::refusal::{self, Refusal};
use super::seats;
use super::shared::Rules;
use super::upgrade::tunnel;
use super::wire::{Inbox, Outbox, write_all};
use super::worker::Worker;
use crate::PoolConnection;
use crate::sync::Arc;

/// How long, and for how many bytes, a client is listened to that was told to go.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: u32 = 4096;

/// How a connection in h2 begins, as far as it looks like a request.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// A connection at work.
struct Client {
    stream: TcpStream,
    inbox: Inbox,
    patience: Patience,
    peer: String,
    worker: Arc<Worker>,
}

/// What comes after a turn.
enum Turn {
    Next,
    /// The client was told that this is the end.
    Last,
    /// It was told so before it had said everything.
    Linger,
    /// Nobody is there, or nothing can be said.
    Gone,
    /// Others read on from here.
    Bridge(bridge::Dialect),
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, worker: Arc<Worker>) {
    // Answers are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let client = Client {
        stream,
        inbox: Inbox::default(),
        patience: Patience::new(worker.shared.beat()),
        peer: peer.ip().to_canonical().to_string(),
        worker: worker.clone(),
    };
    let mut closing = pin!(worker.shared.until_closing());
    let mut serving = pin!(client.serve());
    let mut is_told = false;
    poll_fn(|context| {
        // Once polled, it wakes this task; the flag beside it says the rest.
        if !std::mem::replace(&mut is_told, true) {
            let _ = closing.as_mut().poll(context);
        }
        serving.as_mut().poll(context)
    })
    .await;
}

impl Client {
    async fn serve(mut self) {
        let mut rules = self.worker.shared.rules();
        self.patience.follow(rules.beat);
        loop {
            if !self.has_come(rules.client_idle).await {
                return;
            }
            // As they are when a request comes, not when the one before it ended.
            if self.worker.shared.refresh(&mut rules) {
                self.patience.follow(rules.beat);
            }
            match self.turn(&rules).await {
                Turn::Next => {}
                Turn::Last => return self.shut().await,
                Turn::Linger => return self.linger().await,
                Turn::Gone => return,
                Turn::Bridge(dialect) => {
                    let Self {
                        stream,
                        inbox,
                        peer,
                        worker,
                        ..
                    } = self;
                    return Box::pin(bridge::serve(dialect, stream, inbox, peer, worker)).await;
                }
            }
        }
    }

    /// Waits for a first byte; `false`: there is no further request.
    async fn has_come(&mut self, idle: Duration) -> bool {
        if !self.inbox.is_empty() {
            return true;
        }
        let Self {
            inbox,
            stream,
            patience,
            worker,
            ..
        } = self;
        let begun = Instant::now();
        let (due, seats) = (begun + idle, &worker.shared.seats);
        let mut reading = pin!(inbox.read(stream));
        let read = poll_fn(|context| match reading.as_mut().poll(context) {
            // What is here already is served before the end.
            Poll::Pending if worker.shared.is_closing() => Poll::Ready(Ok(0)),
            // Looked at with each beat of the timer.
            Poll::Pending
                if seats.are_wanted() && begun.elapsed() >= seats::IDLE && seats.take_one() =>
            {
                Poll::Ready(Ok(0))
            }
            polled => polled,
        });
        matches!(patience.until(due, read).await, Ok(Ok(1..)))
    }

    async fn turn(&mut self, rules: &Rules) -> Turn {
        let mut head = Outbox::take();
        let worker = self.worker.clone();
        let log = rules.log.as_ref();
        let request = match self.head(rules, &mut head).await {
            Ok(Some(request)) => request,
            Ok(None) => return Turn::Gone,
            Err(_) if self.inbox.bytes().starts_with(PREFACE) => {
                return Turn::Bridge(bridge::Dialect::Http2);
            }
            Err(refusal) => {
                let entry = Entry::of_head(log, self.inbox.bytes(), None);
                let mut note = Note::new(&worker.counts, None, entry, Instant::now());
                let is_head = self.inbox.bytes().starts_with(b"HEAD ");
                return self.refuse(refusal, is_head, &mut note).await;
            }
        };
        let upstream = &request.route.upstream;
        if upstream.options.h2 {
            return Turn::Bridge(bridge::Dialect::Http1);
        }
        let begun = Instant::now();
        let entry = Entry::of_head(log, self.inbox.bytes(), Some(&request));
        let meter = Some(upstream.meter(worker.index));
        let mut note = Note::new(&worker.counts, meter, entry, begun);
        self.inbox.consume(request.head_bytes);
        let mut side = Side {
            stream: &mut self.stream,
            inbox: &mut self.inbox,
            patience: &mut self.patience,
            worker: &worker,
            note: &mut note,
            max_body_bytes: rules.limits.max_body_bytes,
        };
        match exchange(&mut side, &request, &mut head, begun).await {
            End::Answered(answered) => match answered.keep_alive {
                true => Turn::Next,
                false if answered.is_whole && !request.keep_alive => Turn::Last,
                false => Turn::Linger,
            },
            End::Refused(refusal) => {
                drop(head);
                self.refuse(refusal, request.is_head, &mut note).await
            }
            End::Switched(lease, said, _flight) => {
                drop(head);
                let idle = rules.tunnel_idle;
                Box::pin(self.switched(lease, said, idle, &mut note)).await;
                Turn::Gone
            }
            End::Broken => {
                note.broken();
                Turn::Gone
            }
        }
    }

    /// Passes on what is said in another protocol.
    async fn switched(
        &mut self,
        mut lease: PoolConnection<Connection>,
        mut said: Inbox,
        idle: Duration,
        note: &mut Note<'_>,
    ) {
        note.switched();
        let client = (&mut self.stream, &mut self.inbox);
        let upstream = (&mut lease.stream, &mut said);
        let told = |bytes| note.sent(bytes);
        tunnel(client, upstream, &mut self.patience, idle, told).await;
    }

    /// Reads the head of a request; `None`: the client left in its middle.
    async fn head<'t>(
        &mut self,
        rules: &'t Rules,
        to: &mut Vec<u8>,
    ) -> Result<Option<Request<'t>>, Refusal> {
        let terms = Terms {
            peer: &self.peer,
            limits: &rules.limits,
            table: &rules.routes,
        };
        let mut due = None;
        loop {
            match parse_request(self.inbox.bytes(), &terms, to) {
                Ok(Some(request)) => return Ok(Some(request)),
                Ok(None) => {}
                Err(_) if self.begins_h2() => {}
                Err(refusal) => return Err(refusal),
            }
            // Most heads come whole: they cost no look at the clock.
            let due = *due.get_or_insert_with(|| Instant::now() + rules.client_head);
            let reading = self.inbox.read(&mut self.stream);
            match self.patience.until(due, reading).await {
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
                Err(_) => return Err(refusal::SLOW_CLIENT),
            }
        }
    }

    /// Whether it may become the preface of h2 once that is whole.
    fn begins_h2(&self) -> bool {
        let heard = self.inbox.bytes();
        heard.len() < PREFACE.len() && PREFACE.starts_with(heard)
    }

    async fn refuse(&mut self, refusal: Refusal, is_head: bool, note: &mut Note<'_>) -> Turn {
        note.refused(refusal, is_head);
        let mut out = Outbox::take();
        refusal.write(&mut out, true, is_head);
        let writing = write_all(&mut self.stream, &out);
        match timeout(LINGER, writing).await {
            Ok(Ok(())) => Turn::Linger,
            _ => Turn::Gone,
        }
    }

    /// Says that nothing more comes.
    async fn shut(&mut self) {
        let _: io::Result<()> =
            poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await;
    }

    /// Says so, and listens for a while to what is still on its way: a socket that is closed with bytes
    /// unread resets the connection, and the answer may be lost with it.
    async fn linger(&mut self) {
        self.shut().await;
        let draining = async {
            for _ in 0..LINGER_READS {
                self.inbox.consume(self.inbox.bytes().len());
                if let Ok(0) | Err(_) = self.inbox.read(&mut self.stream).await {
                    return;
                }
            }
        };
        let _ = timeout(LINGER, draining).await;
    }
}
