//! One try of a request over one connection.
//!
//! Promise: its clock stands as long as the client's body moves; where it ran out or broke off because of the
//! client, the upstream is not blamed.

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::{Instant, timeout_at};

use super::body::Hold;
use super::channel::{Channel, Failed, Outgoing, Turn};
use crate::proxy::plain::lanes::{Flight, Lane, Upstream};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::sync::Arc;
use crate::{AcquireError, PoolConnection};

/// Why there is no answer.
pub enum Missed {
    /// Not a byte was written.
    Unsent(Box<Request<Outgoing>>),
    /// Nothing to write to.
    NoConnection(AcquireError, Box<Request<Outgoing>>),
    /// It may have been seen; the connection had served before, and ended without an answer.
    Stale,
    /// It may have been seen.
    Lost(Refusal),
    /// The client is at fault.
    Client(Refusal),
}

/// Sends it; over a `fresh` connection, one that served nobody.
pub async fn send(
    flight: &mut Flight<Arc<Upstream>>,
    request: Request<Outgoing>,
    fresh: bool,
    overall: Instant,
) -> Result<(Response<Incoming>, Hold), Missed> {
    let missed = |error, request| Missed::NoConnection(error, Box::new(request));
    let limit = flight.options().timeouts.request;
    let lane = flight.lane();
    if flight.options().h2 {
        let lease = match lane.shared_channel().await {
            Ok(lease) => lease,
            Err(error) => return Err(missed(error, request)),
        };
        let answer = answer(lease.turn(), request, limit, overall, lease.is_used()).await?;
        return Ok((answer, Hold::Shared { _lease: lease }));
    }
    let mut lease = match own(lane, fresh).await {
        Ok(lease) => lease,
        Err(error) => return Err(missed(error, request)),
    };
    let used = lease.is_used();
    let answer = answer(lease.begin(), request, limit, overall, used).await?;
    Ok((answer, Hold::Own(lease)))
}

async fn own(lane: &Lane, fresh: bool) -> Result<PoolConnection<Channel>, AcquireError> {
    loop {
        match lane.channels.acquire().await? {
            // What was idle beside a dead one is not to be trusted.
            lease if fresh && lease.is_used() => drop(lease.detach()),
            lease => return Ok(lease),
        }
    }
}

async fn answer(
    turn: Turn<'_>,
    request: Request<Outgoing>,
    limit: std::time::Duration,
    overall: Instant,
    used: bool,
) -> Result<Response<Incoming>, Missed> {
    let progress = request.body().progress();
    let mut sending = std::pin::pin!(turn.send(request));
    let mut seen = progress.frames();
    loop {
        let due = (Instant::now() + limit).min(overall);
        match timeout_at(due, sending.as_mut()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(Failed::Unsent(back))) => return Err(Missed::Unsent(back)),
            Ok(Err(Failed::Lost(error))) => return Err(lost(&error, progress.fault(), used)),
            Err(_) if Instant::now() >= overall || progress.frames() == seen => break,
            Err(_) => seen = progress.frames(),
        }
    }
    Err(match progress.waits_for_client() {
        true => Missed::Client(refusal::SLOW_CLIENT),
        false => Missed::Lost(refusal::LATE),
    })
}

fn lost(error: &hyper::Error, fault: Option<Refusal>, used: bool) -> Missed {
    match fault {
        Some(fault) => Missed::Client(fault),
        None if error.is_parse() => Missed::Lost(refusal::BAD_ANSWER),
        None if used => Missed::Stale,
        None => Missed::Lost(refusal::BROKEN),
    }
}
