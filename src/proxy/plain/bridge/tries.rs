//! A request's way over the connections to its upstream.
//!
//! Promise: a request goes over another connection only if not a byte of it was written; if the upstream says that it
//! did not look at it and nothing of its body was read; or if it has no body, a second time does no harm, and the
//! connection had served before, or may have: in h2 it is shared from the start. Who did not look at it is asked again
//! only where nobody else is there, and after a pause.

use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::{Instant, sleep};

use super::body::Hold;
use super::send::{Missed, send};
use super::upload::{Progress, Upload};
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::leasing::blames;
use crate::proxy::plain::refusal::{self, Refusal};
use crate::resilience::Backoff;
use crate::sync::{Arc, AtomicU64, Ordering};

/// How often a request of which nothing was seen is sent again.
const MOST_AGAIN: u32 = 2;
/// How long it waits at most before it goes to the same address again, and at the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));

/// No two requests that were refused together come back together.
static SEEDS: AtomicU64 = AtomicU64::new(0);

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

/// What was tried for a request, and what may be.
struct Tries {
    upstream: Arc<Upstream>,
    worker: usize,
    /// A second head, where there may be a second time.
    spare: Option<Parts>,
    /// Whether a second time does no harm, even if the first was seen.
    is_replayable: bool,
    /// Addresses that could not be reached.
    tried: u64,
    /// Addresses that did not look at it.
    refused: u64,
    pauses: Option<Backoff>,
    /// What the client is told if there is none left.
    last: Refusal,
    again: u32,
    /// Whether a connection that served before is not to be trusted.
    fresh: bool,
}

/// Asks an upstream, with at most so many bytes of its body.
pub async fn ask(
    upstream: Arc<Upstream>,
    head: Parts,
    body: Incoming,
    worker: usize,
    max_body_bytes: u64,
    begun: Instant,
) -> Result<Given, Refusal> {
    let is_bare = body.is_end_stream();
    let mut tries = Tries {
        spare: (is_bare || upstream.options.h2).then(|| head.clone()),
        is_replayable: is_bare && head.method.is_idempotent(),
        upstream,
        worker,
        tried: 0,
        refused: 0,
        pauses: None,
        last: refusal::NO_ADDRESS,
        again: 0,
        fresh: false,
    };
    let overall = begun + tries.upstream.options.timeouts.overall;
    let mut request = Request::from_parts(head, Upload::new(body, max_body_bytes));
    loop {
        let mut flight = tries.flight().await?;
        let upload = request.body().progress();
        match send(&mut flight, request, tries.fresh, overall).await {
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
            Err(missed) => request = tries.again(missed, &mut flight)?,
        }
    }
}

impl Tries {
    /// The way to an address; to one that refused the request only where no other is left, and not at once.
    async fn flight(&mut self) -> Result<Flight<Arc<Upstream>>, Refusal> {
        if let Some(flight) = self.pick(self.tried | self.refused) {
            return Ok(flight);
        }
        if let Some(pauses) = &mut self.pauses {
            sleep(pauses.fail()).await;
        }
        self.pick(self.tried).ok_or(self.last)
    }

    fn pick(&self, but_for: u64) -> Option<Flight<Arc<Upstream>>> {
        Upstream::pick(&self.upstream, self.worker, but_for, Instant::now())
    }

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
            Missed::Refused {
                body: Some(body),
                is_leaving,
            } if self.again < MOST_AGAIN => {
                self.again += 1;
                // One that goes is not asked again anyway: the next connection is another.
                if !is_leaving {
                    flight.refused();
                    self.avoid(flight.bit());
                }
                let head = self.spare.clone().ok_or(refusal::REFUSED)?;
                return Ok(Request::from_parts(head, body));
            }
            // It may go when it likes; what it read of the body by then is lost.
            Missed::Refused {
                body: None,
                is_leaving: true,
            } => return Err(refusal::REFUSED),
            Missed::Stale if self.is_replayable && !self.fresh => {
                self.fresh = true;
                if let Some(head) = self.spare.clone() {
                    return Ok(Request::from_parts(head, Upload::none()));
                }
                refusal::BROKEN
            }
            // It may refuse what it likes, but not for ever.
            Missed::Refused { .. } => refusal::REFUSED,
            Missed::Unsent(_) | Missed::Stale => refusal::BROKEN,
            Missed::Lost(refusal) => refusal,
        };
        match refusal {
            refusal::BROKEN => flight.lost(),
            _ => flight.failed(),
        }
        Err(refusal)
    }

    /// Leaves an address to the last, and gives it time.
    fn avoid(&mut self, address: u64) {
        (self.refused, self.last) = (self.refused | address, refusal::REFUSED);
        self.pauses.get_or_insert_with(|| {
            // Relaxed: a number that is given out once.
            let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
            Backoff::new(PAUSES.0, PAUSES.1, seed)
        });
    }

    /// An address cannot be reached: whether there is another.
    fn elsewhere(
        &mut self,
        refusal: Refusal,
        flight: &mut Flight<Arc<Upstream>>,
    ) -> Result<(), Refusal> {
        if blames(refusal) {
            flight.unreachable(refusal);
        }
        (self.tried, self.last) = (self.tried | flight.bit(), refusal);
        let others = self.upstream.options.targets.len() as u32;
        match self.tried.count_ones() < others {
            true => Ok(()),
            false => Err(refusal),
        }
    }
}
