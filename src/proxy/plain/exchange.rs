//! One request and its answer, over HTTP/1.1 on both sides.
//!
//! Promise: a connection that the upstream had closed costs the client nothing: the request goes over a
//! fresh one, once, if not a byte of it was taken, or if it was whole and a second time does no harm. Else
//! it is never sent twice.
//! Cost: a lease and its return, one read and one write on each side.

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::Body;
use super::connection::Connection;
use super::deadline::Patience;
use super::head::{Client, Request, Response};
use super::lanes::{Flight, Upstream};
use super::refusal::{self, Refusal};
use super::relay::{Fault, Moves, answer, both, of_request, pump, within};
use super::wire::{Inbox, Outbox, write_all};
use crate::resilience::{Deadline, Timeouts};
use crate::{AcquireError, AcquireErrorKind, AcquirePhase, PoolConnection};

/// The client's side of an exchange.
pub struct Side<'a> {
    pub stream: &'a mut TcpStream,
    pub inbox: &'a mut Inbox,
    pub patience: &'a mut Patience,
    /// The worker it is on.
    pub worker: usize,
    /// The longest body.
    pub max_body_bytes: u64,
    /// Whether its connection ends with this exchange, whatever it asked for.
    pub closing: bool,
}

/// How an exchange ended.
pub enum End {
    /// In order, with this status; the client's connection may go on, or not.
    Answered { status: u16, keep_alive: bool },
    /// In another protocol; the connection to the upstream, and what it said in it already.
    Switched(PoolConnection<Connection>, Inbox),
    /// The client gets this.
    Refused(Refusal),
    /// In the middle of the answer: the client can only be cut off.
    Broken,
}

/// Sends a request whose new head is `head`, and passes the answer on.
pub async fn exchange(side: &mut Side<'_>, request: &Request<'_>, head: &mut Outbox) -> End {
    let mut body = Body::new(request.framing, request.framing, side.max_body_bytes);
    if !request.framing.is_empty() {
        match body.advance(side.inbox.bytes(), head) {
            Ok(used) => side.inbox.consume(used),
            Err(error) => return End::Refused(refused(of_request(error))),
        }
    }
    let upstream = &*request.route.upstream;
    let limits = &upstream.options.timeouts;
    let mut deadline = Deadline::new(limits, Instant::now());
    let is_whole = body.is_done();
    let (mut tried, mut again, mut last) = (0, false, refusal::NO_ADDRESS);
    loop {
        let now = Instant::now();
        let Some(mut flight) = Upstream::pick(&upstream, side.worker, tried, now) else {
            return End::Refused(last);
        };
        let mut lease = match lease(&mut flight, again).await {
            Ok(lease) => lease,
            Err(refusal) => {
                (last, tried) = (refusal, tried | flight.bit());
                continue;
            }
        };
        lease.begin();
        let mut attempt = Attempt {
            side,
            request,
            limits,
            deadline: &mut deadline,
            moves: Moves::default(),
        };
        let mut from = Inbox::default();
        let tried_once = attempt
            .run(&mut lease, &mut from, head, &mut body, is_whole)
            .await;
        let begun = attempt.moves.has_begun();
        match tried_once {
            Ok((response, _)) if response.status == 101 => {
                flight.answered(101);
                return End::Switched(lease, from);
            }
            Ok((response, pumped)) => {
                flight.answered(response.status);
                if response.reusable && pumped && from.is_empty() {
                    lease.rest();
                }
                let keep_alive = response.keep_alive && pumped;
                return End::Answered {
                    status: response.status,
                    keep_alive,
                };
            }
            Err(fault) => {
                let replayable = fault == Fault::Unsent
                    || (fault == Fault::Silent && is_whole && request.is_idempotent);
                let once_more = replayable && lease.is_used() && !again && !begun;
                if !once_more {
                    return given_up(fault, begun, &mut flight);
                }
                again = true;
            }
        }
    }
}

fn given_up(fault: Fault, begun: bool, flight: &mut Flight<&Upstream>) -> End {
    if is_of_upstream(fault) {
        flight.failed();
    }
    match begun || fault == Fault::ClientGone {
        true => End::Broken,
        false => End::Refused(refused(fault)),
    }
}

/// Leases a connection; a `fresh` one has served nobody.
async fn lease(
    flight: &mut Flight<&Upstream>,
    fresh: bool,
) -> Result<PoolConnection<Connection>, Refusal> {
    loop {
        match flight.lane().connections.acquire().await {
            // What was idle beside a dead one is not to be trusted.
            Ok(lease) if fresh && lease.is_used() => drop(lease.detach()),
            Ok(lease) => return Ok(lease),
            Err(error) => {
                let refusal = no_connection(&error);
                if refusal != refusal::BUSY {
                    flight.unreachable();
                }
                return Err(refusal);
            }
        }
    }
}

/// What a client is told where no connection could be had.
pub fn no_connection(error: &AcquireError) -> Refusal {
    match error.kind() {
        AcquireErrorKind::TimedOut(AcquirePhase::Connect) => refusal::LATE,
        AcquireErrorKind::TimedOut(_) => refusal::BUSY,
        _ => {
            tracing::debug!(%error, "no connection to an upstream");
            refusal::UNREACHABLE
        }
    }
}

fn refused(fault: Fault) -> Refusal {
    match fault {
        Fault::Unsent | Fault::Silent => refusal::BROKEN,
        Fault::BadAnswer => refusal::BAD_ANSWER,
        Fault::BadRequest => Refusal::bad("the body is not in valid chunks"),
        Fault::TooLarge => refusal::TOO_LARGE,
        Fault::ClientGone => refusal::SLOW_CLIENT,
        Fault::Late(_) => refusal::LATE,
    }
}

fn is_of_upstream(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Unsent | Fault::Silent | Fault::BadAnswer | Fault::Late(_)
    )
}

/// One way of a request to one connection.
struct Attempt<'a, 's, 'r> {
    side: &'a mut Side<'s>,
    request: &'a Request<'r>,
    limits: &'a Timeouts,
    deadline: &'a mut Deadline,
    moves: Moves,
}

impl Attempt<'_, '_, '_> {
    /// The answer's head, and whether all of the request was sent by its end.
    async fn run(
        &mut self,
        lease: &mut Connection,
        from: &mut Inbox,
        head: &[u8],
        body: &mut Body,
        is_whole: bool,
    ) -> Result<(Response, bool), Fault> {
        let Self {
            side,
            request,
            limits,
            deadline,
            moves,
        } = self;
        let client = Client {
            is_head: request.is_head,
            is_old: request.is_old,
            keep_alive: request.keep_alive && !side.closing,
            upgrade: request.upgrade,
        };
        let (mut client_read, mut client_write) = side.stream.split();
        let (mut upstream_read, mut upstream_write) = lease.stream.split();
        let task = async {
            if let Err((taken, _)) = write_all(&mut upstream_write, head).await {
                // What it said before it closed may explain it; nothing, if it took nothing.
                if taken == 0 {
                    return Err(Fault::Unsent);
                }
            }
            let answering = answer(&mut upstream_read, from, &mut client_write, client, moves);
            match is_whole {
                true => answering.await.map(|response| (response, true)),
                false => {
                    let to = &mut upstream_write;
                    let inbox = &mut *side.inbox;
                    let pumping = pump(&mut client_read, inbox, to, body, moves);
                    Box::pin(both(answering, pumping)).await
                }
            }
        };
        within(side.patience, deadline, limits, moves, task).await
    }
}
