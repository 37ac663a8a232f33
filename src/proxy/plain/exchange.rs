//! One request and its answer, over HTTP/1.1 on both sides.
//!
//! Promise: a connection that the upstream had closed costs the client nothing: the request goes over a
//! fresh one, once, if not a byte of it was taken, or if it was whole and a second time does no harm. Else
//! it is never sent twice.
//! Cost: a lease and its return, one read and one write on each side.

use std::future::poll_fn;
use std::pin::pin;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::Body;
use super::connection::Connection;
use super::deadline::Patience;
use super::head::{Client, Request, Response};
use super::lanes::{Flight, Upstream};
use super::leasing::{self, Aged};
use super::moves::Moves;
use super::note::Note;
use super::refusal::{self, Refusal};
use super::relay::{Fault, Hearer, answer, both, of_request, pump, unless_gone, within};
use super::wire::{Inbox, Outbox, write_all};
use super::worker::Worker;
use crate::PoolConnection;
use crate::resilience::{Deadline, Expired, Timeouts};

/// The client's side of an exchange.
pub struct Side<'a, 'n> {
    pub stream: &'a mut TcpStream,
    pub inbox: &'a mut Inbox,
    pub patience: &'a mut Patience,
    /// The worker it is on.
    pub worker: &'a Worker,
    /// Told of the answer as it goes.
    pub note: &'a mut Note<'n>,
    /// The longest body.
    pub max_body_bytes: u64,
}

/// How an exchange ended.
pub enum End<'u> {
    /// In order; the client's connection may go on, or not.
    Answered(Answered),
    /// In another protocol; the connection to the upstream, what it said in it already, and what counts it.
    Switched(PoolConnection<Connection>, Inbox, Flight<&'u Upstream>),
    /// The client gets this.
    Refused(Refusal),
    /// The client is gone, or is in the middle of the answer and can only be cut off.
    Broken,
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Whether the client's connection may be used again.
    pub keep_alive: bool,
    /// Whether all of the request was read by then.
    pub is_whole: bool,
}

/// Sends a request whose new head is `head`, and passes the answer on.
pub async fn exchange<'u>(
    side: &mut Side<'_, '_>,
    request: &Request<'u>,
    head: &mut Outbox,
    begun: Instant,
) -> End<'u> {
    let mut body = match first_part(side, request, head) {
        Ok(body) => body,
        Err(refusal) => return End::Refused(refusal),
    };
    let upstream: &'u Upstream = &request.route.upstream;
    let limits = &upstream.options.timeouts;
    let mut deadline = Deadline::new(limits, begun);
    let is_whole = body.is_done();
    let (mut tried, mut again, mut last) = (0, false, refusal::NO_ADDRESS);
    let mut now = begun;
    loop {
        let Some(mut flight) = Upstream::pick(&upstream, side.worker.index, tried, now) else {
            return End::Refused(last);
        };
        let overall = begun + limits.overall;
        let (mut lease, waited) = match lease(side, &mut flight, again, overall).await {
            Ok(leased) => leased,
            Err(NoLease::Over(end)) => return end,
            Err(NoLease::Refused(refusal)) => {
                (last, tried, now) = (refusal, tried | flight.bit(), Instant::now());
                continue;
            }
        };
        if waited {
            now = Instant::now();
        }
        if now != begun {
            // What it took to get here is not the upstream's time.
            deadline.again(limits, now);
        }
        lease.begin();
        let mut attempt = Attempt {
            side,
            request,
            limits,
            deadline: &mut deadline,
            flight: &mut flight,
            moves: Moves::default(),
        };
        let mut from = Inbox::default();
        let tried_once = attempt
            .run(&mut lease, &mut from, head, &mut body, is_whole)
            .await;
        let moves = attempt.moves;
        let fault = match tried_once {
            Ok(response) if response.status == 101 => return End::Switched(lease, from, flight),
            Ok(response) => return answered(&response, &moves, &mut lease, &from),
            Err(fault) => fault,
        };
        let replayable =
            fault == Fault::Unsent || (fault == Fault::Silent && is_whole && request.is_idempotent);
        if !replayable || !lease.is_used() || again || moves.has_begun() {
            blame(fault, &mut flight, now);
            return given_up(fault, moves.has_begun());
        }
        (again, now) = (true, Instant::now());
    }
}

/// Appends to the head what is there of the request's body.
fn first_part(
    side: &mut Side<'_, '_>,
    request: &Request<'_>,
    head: &mut Outbox,
) -> Result<Body, Refusal> {
    let mut body = Body::new(request.framing, request.framing, side.max_body_bytes);
    if !request.framing.is_empty() {
        let used = body.advance(side.inbox.bytes(), head);
        side.inbox
            .consume(used.map_err(|error| refused(of_request(error)))?);
    }
    Ok(body)
}

/// The end of an exchange in order: the connection may rest if nothing is on its way any more.
fn answered<'u>(
    response: &Response,
    moves: &Moves,
    lease: &mut Connection,
    from: &Inbox,
) -> End<'u> {
    let is_whole = moves.is_whole();
    if response.reusable && is_whole && from.is_empty() {
        lease.rest();
    }
    End::Answered(Answered {
        keep_alive: response.keep_alive,
        is_whole,
    })
}

/// Why there is nothing to send a request over.
enum NoLease<'u> {
    /// This address gives none.
    Refused(Refusal),
    /// Nobody waits for it any more, or not for longer.
    Over(End<'u>),
}

/// Leases a connection, a `fresh` one if need be, until then and as long as the client is there; and says whether that
/// took a wait.
async fn lease<'u>(
    side: &mut Side<'_, '_>,
    flight: &mut Flight<&'u Upstream>,
    fresh: bool,
    until: Instant,
) -> Result<(PoolConnection<Connection>, bool), NoLease<'u>> {
    let leased = {
        let mut leasing = pin!(leasing::lease(&flight.lane().connections, fresh));
        let mut waited = false;
        let looking = poll_fn(|context| {
            let polled = leasing.as_mut().poll(context);
            waited |= polled.is_pending();
            polled.map_ok(|lease| (lease, waited))
        });
        let says_more = !side.inbox.is_empty();
        let (mut client, _) = side.stream.split();
        let there = unless_gone(looking, &mut client, says_more);
        side.patience.until(until, there).await
    };
    match leased {
        Ok(Some(Ok(leased))) => Ok(leased),
        Ok(Some(Err(refusal))) => {
            if leasing::blames(refusal) {
                flight.unreachable(refusal);
            }
            Err(NoLease::Refused(refusal))
        }
        Ok(None) => Err(NoLease::Over(End::Broken)),
        Err(_) => Err(NoLease::Over(End::Refused(refusal::LATE))),
    }
}

/// Says of the upstream what a fault does, in a try that began then.
fn blame(fault: Fault, flight: &mut Flight<&Upstream>, begun: Instant) {
    match fault {
        Fault::Unsent | Fault::Silent | Fault::BrokenOff => flight.lost(),
        Fault::BadAnswer | Fault::Late(Expired::Request | Expired::Idle) => flight.failed(),
        // Of an answer that flows it may be the client's doing, and others may have had the most of the time.
        Fault::Late(Expired::Overall)
            if !flight.has_begun() && begun.elapsed() * 2 >= flight.options().timeouts.overall =>
        {
            flight.failed();
        }
        Fault::Late(_) => {}
        Fault::BadRequest | Fault::TooLarge | Fault::ClientGone | Fault::ClientLate => {}
    }
}

fn given_up<'u>(fault: Fault, has_begun: bool) -> End<'u> {
    match has_begun || fault == Fault::ClientGone {
        true => End::Broken,
        false => End::Refused(refused(fault)),
    }
}

fn refused(fault: Fault) -> Refusal {
    match fault {
        Fault::Unsent | Fault::Silent | Fault::BrokenOff => refusal::BROKEN,
        Fault::BadAnswer => refusal::BAD_ANSWER,
        Fault::BadRequest => Refusal::bad("the body is not in valid chunks"),
        Fault::TooLarge => refusal::TOO_LARGE,
        Fault::ClientGone | Fault::ClientLate => refusal::SLOW_CLIENT,
        Fault::Late(_) => refusal::LATE,
    }
}

/// One way of a request to one connection.
struct Attempt<'a, 's, 'n, 'u> {
    side: &'a mut Side<'s, 'n>,
    request: &'a Request<'u>,
    limits: &'a Timeouts,
    deadline: &'a mut Deadline,
    flight: &'a mut Flight<&'u Upstream>,
    moves: Moves,
}

/// Tells the upstream's counts and the request's.
struct Ears<'a, 'n, 'u> {
    worker: &'a Worker,
    flight: &'a mut Flight<&'u Upstream>,
    note: &'a mut Note<'n>,
}

impl Hearer for Ears<'_, '_, '_> {
    fn client_stays(&self) -> bool {
        !self.worker.is_draining()
    }

    fn heard(&mut self, response: &Response, at: Instant) {
        self.flight.answered_at(response.status, at);
        self.note.answered(response.status, at);
    }

    fn told(&mut self, bytes: u64) {
        self.note.sent(bytes);
    }
}

impl Attempt<'_, '_, '_, '_> {
    async fn run(
        &mut self,
        lease: &mut Connection,
        from: &mut Inbox,
        head: &[u8],
        body: &mut Body,
        is_whole: bool,
    ) -> Result<Response, Fault> {
        let Self {
            side,
            request,
            limits,
            deadline,
            flight,
            moves,
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
        let mut ears = Ears {
            worker: side.worker,
            flight,
            note: side.note,
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
            let to_client = &mut client_write;
            let answering = answer(
                &mut upstream_read,
                from,
                to_client,
                client,
                moves,
                &mut ears,
            );
            match is_whole {
                true => {
                    let says_more = !side.inbox.is_empty();
                    let there = unless_gone(answering, &mut client_read, says_more);
                    there.await.unwrap_or(Err(Fault::ClientGone))
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
