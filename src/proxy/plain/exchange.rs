//! One request and its answer, over HTTP/1.1 on both sides.
//!
//! Promise: a connection that the upstream had closed costs the client nothing: the request goes over a
//! fresh one, once, if not a byte of it was taken, or if it was whole and a second time does no harm. Else
//! it is never sent twice.
//! Cost: a lease and its return, one read and one write on each side.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::Body;
use super::connection::Connection;
use super::deadline::Patience;
use super::head::{Client, Request, Response};
use super::lanes::{Flight, Upstream};
use super::moves::Moves;
use super::refusal::{self, Refusal};
use super::relay::{Delivery, Fault, answer, both, of_request, pump, unless_gone, within};
use super::wire::{Inbox, Outbox, write_all};
use super::worker::Worker;
use crate::resilience::{Deadline, Timeouts};
use crate::{AcquireError, AcquireErrorKind, AcquirePhase, PoolConnection};

/// The client's side of an exchange.
pub struct Side<'a> {
    pub stream: &'a mut TcpStream,
    pub inbox: &'a mut Inbox,
    pub patience: &'a mut Patience,
    /// The worker it is on.
    pub worker: &'a Worker,
    /// The longest body.
    pub max_body_bytes: u64,
}

/// How an exchange ended.
pub enum End {
    /// In order; the client's connection may go on, or not.
    Answered(Answered),
    /// In another protocol; the connection to the upstream, and what it said in it already.
    Switched(PoolConnection<Connection>, Inbox),
    /// The client gets this.
    Refused(Refusal),
    /// In the middle of the answer, if one began: the client can only be cut off.
    Broken(Option<Answered>),
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub status: u16,
    /// From the head of the request to that of the answer.
    pub time: Duration,
    pub bytes: u64,
    /// Whether the client's connection may be used again.
    pub keep_alive: bool,
    /// Whether all of the request was read by then.
    pub is_whole: bool,
}

impl Answered {
    fn new(passed: &Delivery, begun: Instant, is_whole: bool) -> Self {
        Self {
            status: passed.response.status,
            time: passed.head_at - begun,
            bytes: passed.bytes,
            keep_alive: passed.response.keep_alive,
            is_whole,
        }
    }
}

/// Sends a request whose new head is `head`, and passes the answer on.
pub async fn exchange(
    side: &mut Side<'_>,
    request: &Request<'_>,
    head: &mut Outbox,
    begun: Instant,
) -> End {
    let mut body = Body::new(request.framing, request.framing, side.max_body_bytes);
    if !request.framing.is_empty() {
        match body.advance(side.inbox.bytes(), head) {
            Ok(used) => side.inbox.consume(used),
            Err(error) => return End::Refused(refused(of_request(error))),
        }
    }
    let upstream = &*request.route.upstream;
    let limits = &upstream.options.timeouts;
    let mut deadline = Deadline::new(limits, begun);
    let is_whole = body.is_done();
    let (mut tried, mut again, mut last) = (0, false, refusal::NO_ADDRESS);
    let mut now = begun;
    loop {
        let Some(mut flight) = Upstream::pick(&upstream, side.worker.index, tried, now) else {
            return End::Refused(last);
        };
        let leased = leased(side, &mut flight, again, is_whole).await;
        let (mut lease, has_waited) = match leased {
            Ok(leased) => leased,
            Err(None) => return End::Broken(None),
            Err(Some(refusal)) => {
                (last, tried) = (refusal, tried | flight.bit());
                now = Instant::now();
                continue;
            }
        };
        if has_waited && !begin_anew(&mut deadline, limits) {
            return End::Refused(refusal::LATE);
        }
        lease.begin();
        let mut attempt = Attempt {
            side,
            request,
            limits,
            deadline: &mut deadline,
            moves: Moves::default(),
            flight: &mut flight,
            heard: None,
        };
        let mut from = Inbox::default();
        let tried_once = attempt
            .run(&mut lease, &mut from, head, &mut body, is_whole)
            .await;
        let (has_begun, is_sent) = (attempt.moves.has_begun(), attempt.moves.is_whole());
        let heard = attempt.heard;
        match tried_once {
            Ok(passed) => {
                let answered = Answered::new(&passed, begun, is_sent);
                return given(&passed.response, lease, from, answered);
            }
            Err(fault) => {
                let replayable = fault == Fault::Unsent
                    || (fault == Fault::Silent && is_whole && request.is_idempotent);
                let once_more = replayable && lease.is_used() && !again && !has_begun;
                if !once_more {
                    let heard = heard.map(|heard| Answered::new(&heard, begun, is_sent));
                    return given_up(fault, has_begun, heard, &mut flight);
                }
                (again, now) = (true, Instant::now());
            }
        }
    }
}

/// The end of an exchange whose answer was passed on.
fn given(
    response: &Response,
    mut lease: PoolConnection<Connection>,
    said: Inbox,
    answered: Answered,
) -> End {
    if response.status == 101 {
        return End::Switched(lease, said);
    }
    if response.reusable && answered.is_whole && said.is_empty() {
        lease.rest();
    }
    End::Answered(answered)
}

fn given_up(
    fault: Fault,
    begun: bool,
    heard: Option<Answered>,
    flight: &mut Flight<&Upstream>,
) -> End {
    if is_of_upstream(fault) {
        flight.failed();
    }
    match begun || fault == Fault::ClientGone {
        true => End::Broken(heard),
        false => End::Refused(refused(fault)),
    }
}

/// Leases a connection, for as long as the client of a request that is whole is there; whether it had to be waited for.
///
/// # Errors
///
/// What the client is told, if it is there.
async fn leased(
    side: &mut Side<'_>,
    flight: &mut Flight<&Upstream>,
    fresh: bool,
    is_whole: bool,
) -> Result<(PoolConnection<Connection>, bool), Option<Refusal>> {
    let (mut leasing, mut has_waited) = (pin!(lease(flight, fresh)), false);
    let noting = poll_fn(|context| {
        let polled = leasing.as_mut().poll(context);
        has_waited |= polled.is_pending();
        polled
    });
    let leased = match is_whole {
        true => {
            let (mut client, _) = side.stream.split();
            let says_more = !side.inbox.is_empty();
            unless_gone(noting, &mut client, says_more)
                .await
                .map_err(|_| None)?
        }
        false => noting.await,
    };
    leased.map_err(Some).map(|lease| (lease, has_waited))
}

/// Gives the upstream its time from now on: what it took to get to it is not its own. `false`: nothing is left of the
/// whole.
fn begin_anew(deadline: &mut Deadline, limits: &Timeouts) -> bool {
    let now = Instant::now();
    deadline.again(limits, now);
    !deadline.left(now).is_zero()
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

/// What a client is told where no connection could be had; nobody is to blame for [`refusal::BUSY`].
pub fn no_connection(error: &AcquireError) -> Refusal {
    match error.kind() {
        // A dial that is under way may be another's, and end well: only one that failed says something.
        AcquireErrorKind::TimedOut(AcquirePhase::Connect) if error.connect_error().is_some() => {
            refusal::LATE
        }
        AcquireErrorKind::TimedOut(_) | AcquireErrorKind::TooManyWaiters => refusal::BUSY,
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
        Fault::ClientGone | Fault::ClientLate => refusal::SLOW_CLIENT,
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
struct Attempt<'a, 's, 'r, 'u> {
    side: &'a mut Side<'s>,
    request: &'a Request<'r>,
    limits: &'a Timeouts,
    deadline: &'a mut Deadline,
    moves: Moves,
    flight: &'a mut Flight<&'u Upstream>,
    /// What there was of an answer.
    heard: Option<Delivery>,
}

impl Attempt<'_, '_, '_, '_> {
    async fn run(
        &mut self,
        lease: &mut Connection,
        from: &mut Inbox,
        head: &[u8],
        body: &mut Body,
        is_whole: bool,
    ) -> Result<Delivery, Fault> {
        let Self {
            side,
            request,
            limits,
            deadline,
            moves,
            flight,
            heard,
        } = self;
        let client = Client {
            is_head: request.is_head,
            is_old: request.is_old,
            keep_alive: request.keep_alive,
            upgrade: request.upgrade,
        };
        if is_whole {
            moves.set_whole();
        }
        if request.expects && body.bytes == 0 {
            moves.await_word();
        }
        let worker = side.worker;
        let stays = || !worker.is_draining();
        let (mut client_read, mut client_write) = side.stream.split();
        let (mut upstream_read, mut upstream_write) = lease.stream.split();
        let task = async {
            if let Err((taken, _)) = write_all(&mut upstream_write, head).await {
                // What it said before it closed may explain it; nothing, if it took nothing.
                if taken == 0 {
                    return Err(Fault::Unsent);
                }
            }
            let to_client = &mut client_write;
            let heard = |delivery: Delivery| {
                if heard.replace(delivery).is_none() {
                    flight.answered(delivery.response.status);
                }
            };
            let answering = answer(
                &mut upstream_read,
                from,
                to_client,
                client,
                moves,
                stays,
                heard,
            );
            match is_whole {
                true => {
                    let says_more = !side.inbox.is_empty();
                    unless_gone(answering, &mut client_read, says_more).await?
                }
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
