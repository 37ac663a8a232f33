//! One try of a request over one connection.
//!
//! Promise: its clock stands as long as the client's body moves; where it ran out or broke off because of the
//! client, the upstream is not blamed; an answer that is none by the grammar of this proxy is not passed on.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout_at};

use super::body::Hold;
use super::channel::{Failed, Turn};
use super::reply::is_clear;
use super::upload::{Progress, Upload};
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::leasing::{Aged, lease};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::sync::Arc;

/// Why there is no answer.
pub enum Missed {
    /// Not a byte was written.
    Unsent(Box<Request<Upload>>),
    /// The upstream says that it did not look at it (RFC 9113, 8.7).
    Refused {
        /// Its body, if nothing of that was read.
        body: Option<Upload>,
        /// Whether that is because the connection ends.
        is_leaving: bool,
    },
    /// Nothing to write to.
    NoConnection(Refusal, Box<Request<Upload>>),
    /// It may have been seen; the connection had served before, and ended without an answer.
    Stale,
    /// It may have been seen.
    Lost(Refusal),
    /// The upstream is not at fault.
    Blameless(Refusal),
}

/// Sends it; over a `fresh` connection, one that served nobody.
pub async fn send(
    flight: &mut Flight<Arc<Upstream>>,
    request: Request<Upload>,
    fresh: bool,
    overall: Instant,
) -> Result<(Response<Incoming>, Hold), Missed> {
    let missed = |refusal, request| Missed::NoConnection(refusal, Box::new(request));
    let limit = flight.options().timeouts.request;
    let lane = flight.lane();
    if flight.options().h2 {
        let until = (Instant::now() + limit).min(overall);
        let lease = match lane.sharing.share(&lane.channels, until).await {
            Ok(lease) => lease,
            Err(refusal) => return Err(missed(refusal, request)),
        };
        let Some(turn) = lease.turn() else {
            return Err(Missed::Unsent(Box::new(request)));
        };
        let answer = answer(turn, request, limit, overall, lease.is_used()).await?;
        return Ok((answer, Hold::Shared { _lease: lease }));
    }
    let mut lease = match lease(&lane.channels, fresh).await {
        Ok(lease) => lease,
        Err(refusal) => return Err(missed(refusal, request)),
    };
    let (used, is_head) = (lease.is_used(), request.method() == Method::HEAD);
    let answer = answer(lease.begin(is_head), request, limit, overall, used).await?;
    Ok((answer, Hold::Own(lease)))
}

async fn answer(
    turn: Turn<'_>,
    request: Request<Upload>,
    limit: Duration,
    overall: Instant,
    used: bool,
) -> Result<Response<Incoming>, Missed> {
    let progress = request.body().progress();
    let mut sending = std::pin::pin!(turn.send(request));
    let mut seen = progress.frames();
    loop {
        let due = (Instant::now() + limit).min(overall);
        match timeout_at(due, sending.as_mut()).await {
            Ok(Ok(answer)) if is_clear(&answer) => return Ok(answer),
            Ok(Ok(_)) => return Err(Missed::Lost(refusal::BAD_ANSWER)),
            Ok(Err(Failed::Unsent(back))) => return Err(Missed::Unsent(back)),
            Ok(Err(Failed::Lost(error))) => return Err(lost(&error, &progress, used)),
            Err(_) if Instant::now() >= overall || progress.frames() == seen => break,
            Err(_) => seen = progress.frames(),
        }
    }
    Err(match progress.waits_for_client() {
        true => Missed::Blameless(refusal::SLOW_CLIENT),
        // Hyper still had it: there was no stream for it, after all.
        false if progress.is_untouched() => Missed::Blameless(refusal::BUSY),
        false => Missed::Lost(refusal::LATE),
    })
}

fn lost(error: &hyper::Error, progress: &Progress, used: bool) -> Missed {
    if let Some(fault) = progress.fault() {
        return Missed::Blameless(fault);
    }
    match Said::of(error) {
        Said::Refused { is_leaving } => Missed::Refused {
            body: progress.taken_back(),
            is_leaving,
        },
        Said::Nonsense => Missed::Lost(refusal::BAD_ANSWER),
        // It was there, and chose not to answer.
        Said::Reset => Missed::Lost(refusal::REFUSED),
        Said::Nothing if used => Missed::Stale,
        Said::Nothing => Missed::Lost(refusal::BROKEN),
    }
}

/// Whether an answer broke off because its connection ended.
pub fn is_end(error: &hyper::Error) -> bool {
    !matches!(Said::of(error), Said::Nonsense | Said::Reset)
}

/// What an upstream said instead of an answer. Of a request that still waits for its stream when GOAWAY comes hyper
/// says no more than that it is gone: that is nothing, too, though nobody looked at it.
enum Said {
    /// That it did not look at the request.
    Refused {
        is_leaving: bool,
    },
    /// That this one is not answered.
    Reset,
    /// What is no answer.
    Nonsense,
    Nothing,
}

impl Said {
    fn of(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::Nonsense;
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<h2::Error>() {
                return Self::of_h2(cause);
            }
            let io = cause.downcast_ref::<io::Error>();
            // What a sieve says of a head that did not pass, and hyper of a chunk.
            let is_nonsense = |kind| {
                matches!(
                    kind,
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                )
            };
            if io.is_some_and(|error| is_nonsense(error.kind())) {
                return Self::Nonsense;
            }
            source = cause.source();
        }
        Self::Nothing
    }

    fn of_h2(error: &h2::Error) -> Self {
        match error.is_remote() {
            // Told of a stream, it says that this one is beyond the last that is served.
            true if error.is_go_away() => Self::Refused { is_leaving: true },
            true if error.reason() == Some(h2::Reason::REFUSED_STREAM) => {
                Self::Refused { is_leaving: false }
            }
            true => Self::Reset,
            false if error.is_library() => Self::Nonsense,
            false => Self::Nothing,
        }
    }
}
