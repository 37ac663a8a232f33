//! A request's way over the connections to its upstream.
//!
//! Promise: a request goes over another connection only if not a byte of it was written; if the upstream says that it
//! did not look at it and nothing of its body was read; or if it has no body, a second time does no harm, and the
//! connection had served before, or may have: in h2 it is shared from the start.

use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::Instant;

use super::body::Hold;
use super::send::{Missed, send};
use super::upload::{Progress, Upload};
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::leasing::blames;
use crate::proxy::plain::refusal::{self, Refusal};
use crate::sync::Arc;

/// How often a request of which nothing was seen is sent again.
const MOST_AGAIN: u32 = 2;
/// How often one that came beyond the streams of a new connection is.
const MOST_CROWDED: u32 = 16;

/// An answer that an upstream gave.
pub struct Given {
    pub answer: Response<Incoming>,
    pub hold: Hold,
    pub flight: Flight<Arc<Upstream>>,
    /// How far the request is.
    pub upload: Arc<Progress>,
    /// When that came.
    pub begun: Instant,
}

/// The state of a request that is passed on.
struct Passing {
    upstream: Arc<Upstream>,
    /// A second head, where there may be a second time.
    spare: Option<Parts>,
    /// Whether a second time does no harm, even if the first was seen.
    is_replayable: bool,
    /// Addresses that could not be reached.
    tried: u64,
    /// What the client is told if there is none left.
    last: Refusal,
    again: u32,
    crowded: u32,
    /// Whether a connection that served before is not to be trusted.
    fresh: bool,
}

/// Passes a request on to an upstream, with at most so many bytes of its body.
pub async fn pass(
    upstream: Arc<Upstream>,
    head: Parts,
    body: Incoming,
    worker: usize,
    max_body_bytes: u64,
    begun: Instant,
) -> Result<Given, Refusal> {
    let is_bare = body.is_end_stream();
    let mut passing = Passing {
        spare: (is_bare || upstream.options.h2).then(|| head.clone()),
        is_replayable: is_bare && head.method.is_idempotent(),
        upstream,
        tried: 0,
        last: refusal::NO_ADDRESS,
        again: 0,
        crowded: 0,
        fresh: false,
    };
    let overall = begun + passing.upstream.options.timeouts.overall;
    let mut request = Request::from_parts(head, Upload::new(body, max_body_bytes));
    loop {
        let picked = Upstream::pick(&passing.upstream, worker, passing.tried, Instant::now());
        let mut flight = picked.ok_or(passing.last)?;
        let upload = request.body().progress();
        match send(&mut flight, request, passing.fresh, overall).await {
            Ok((answer, hold)) => {
                flight.answered(answer.status().as_u16());
                return Ok(Given {
                    answer,
                    hold,
                    flight,
                    upload,
                    begun,
                });
            }
            Err(missed) => request = passing.again(missed, &mut flight)?,
        }
    }
}

impl Passing {
    /// The request once more, if it may be sent again.
    fn again(
        &mut self,
        missed: Missed,
        flight: &mut Flight<Arc<Upstream>>,
    ) -> Result<Request<Upload>, Refusal> {
        let refusal = match missed {
            Missed::Blameless(refusal) => return Err(refusal),
            Missed::NoConnection(refusal, request) => {
                return self.elsewhere(refusal, flight).map(|()| *request);
            }
            Missed::Unsent(request) if self.again < MOST_AGAIN => {
                (self.again, self.fresh) = (self.again + 1, true);
                return Ok(*request);
            }
            Missed::Refused(Some(body)) if self.again < MOST_AGAIN => {
                self.again += 1;
                return self.once_more(body);
            }
            Missed::Crowded(body) if self.crowded < MOST_CROWDED => {
                self.crowded += 1;
                return self.once_more(body);
            }
            Missed::Stale if self.is_replayable && !self.fresh => {
                self.fresh = true;
                if let Some(head) = self.spare.clone() {
                    return Ok(Request::from_parts(head, Upload::none()));
                }
                refusal::BROKEN
            }
            // It may refuse what it likes, and go when it likes.
            Missed::Refused(_) | Missed::Crowded(_) => return Err(refusal::REFUSED),
            Missed::Unsent(_) | Missed::Stale => refusal::BROKEN,
            Missed::Lost(refusal) => refusal,
        };
        match refusal {
            refusal::BROKEN => flight.lost(),
            _ => flight.failed(),
        }
        Err(refusal)
    }

    /// The same head before a body of which nothing was read.
    fn once_more(&self, body: Upload) -> Result<Request<Upload>, Refusal> {
        let head = self.spare.clone().ok_or(refusal::REFUSED)?;
        Ok(Request::from_parts(head, body))
    }

    /// An address cannot be reached: whether there is another.
    fn elsewhere(
        &mut self,
        refusal: Refusal,
        flight: &mut Flight<Arc<Upstream>>,
    ) -> Result<(), Refusal> {
        if blames(refusal) {
            flight.unreachable();
        }
        (self.tried, self.last) = (self.tried | flight.bit(), refusal);
        let others = self.upstream.options.targets.len() as u32;
        match self.tried.count_ones() < others {
            true => Ok(()),
            false => Err(refusal),
        }
    }
}
