//! One request and its answer, whatever either side speaks.

use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, Version};
use tokio::time::Instant;

use super::body::{Answer, Words};
use super::fields;
use super::place::{Placed, authority};
use super::pulse::Busy;
use super::reply;
use super::requests::Refused;
use super::tries::{Given, ask};
use crate::proxy::plain::access::Entry;
use crate::proxy::plain::counts::Counts;
use crate::proxy::plain::refusal::Refusal;
use crate::proxy::plain::shared::Rules;
use crate::proxy::plain::worker::Worker;
use crate::proxy::watching::{Asked, Trace};

/// A request, and what is known of where it came from.
pub struct Visit<'a> {
    pub request: Request<Incoming>,
    pub peer: &'a str,
    pub worker: &'a Worker,
    pub busy: Busy,
    /// What it stands for, if it is not what the client sent.
    pub refused: Option<Refused>,
}

/// Answers a request.
pub async fn forward(visit: Visit<'_>) -> Response<Answer> {
    let Visit {
        mut request,
        peer,
        worker,
        busy,
        refused,
    } = visit;
    let (begun, rules) = (Instant::now(), worker.shared.rules());
    Counts::count(&worker.counts.requests);
    let is_http1 = request.version() <= Version::HTTP_11;
    let is_head = request.method() == Method::HEAD;
    let is_refused = refused.is_some();
    let placed = match &refused {
        Some(refused) => Err(refused.refusal),
        None => Placed::of(&request, &rules),
    };
    let trace = Trace::of(request.headers());
    trace.write(request.headers_mut());
    let mut entry = match refused {
        Some(refused) => refused.entry,
        None => entry(&rules, &request, placed.as_ref().ok(), &trace),
    };
    let upstream = placed.as_ref().ok();
    let upstream = upstream.map(|placed| placed.route.upstream.clone());
    let mut unanswered = Unanswered(Some(worker));
    let given = match placed {
        Ok(placed) => sent(request, peer, worker.index, &rules, placed, begun).await,
        Err(refusal) => Err(refusal),
    };
    let answer = match given {
        Ok(given) => reply::of_upstream(given),
        Err(refusal) => {
            Counts::count(&worker.counts.refused);
            reply::own(refusal, is_head)
        }
    };
    unanswered.0 = None;
    let (status, time) = (answer.status().as_u16(), begun.elapsed());
    worker.counts.answer(status);
    if let Some(upstream) = upstream {
        upstream.meter(worker.index).answered(status, time);
    }
    if let Some(entry) = &mut entry {
        entry.answered(status, Some(time));
    }
    let counts = worker.counts.clone();
    let made = |words: Words| {
        let patience = words.patience().unwrap_or(rules.client_idle);
        Answer::new(words, entry, counts, busy, patience)
    };
    let mut answer = answer.map(made);
    if is_http1 && (worker.is_draining() || is_refused) {
        reply::close(&mut answer);
    }
    answer
}

/// A request that is given up, if it is dropped as such: its client left.
struct Unanswered<'a>(Option<&'a Worker>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.0 {
            Counts::count(&worker.counts.broken);
        }
    }
}

/// The request's line in the log, if there is one.
fn entry(
    rules: &Rules,
    request: &Request<Incoming>,
    placed: Option<&Placed<'_>>,
    trace: &Trace,
) -> Option<Entry> {
    let log = rules.log.as_ref()?;
    let (named, uri) = (request.headers().get(HOST), request.uri());
    let asked = Asked {
        method: request.method().as_str(),
        host: authority(uri).or(named.map(HeaderValue::as_bytes)),
        path: uri.path(),
        upstream: placed.map(|placed| &*placed.route.upstream.options.name),
        trace: trace.context(),
    };
    Some(Entry::new(log, &asked))
}

/// Makes a request that of the proxy, and sends it.
async fn sent(
    request: Request<Incoming>,
    peer: &str,
    worker: usize,
    rules: &Rules,
    placed: Placed<'_>,
    begun: Instant,
) -> Result<Given, Refusal> {
    let upstream = placed.route.upstream.clone();
    let (mut head, body) = request.into_parts();
    let (limits, h2) = (&rules.limits, upstream.options.h2);
    let trust = limits.trust_forwarded;
    fields::of_request(&mut head.headers, peer, &placed.host, trust, h2);
    if !h2 {
        fields::for_http1(&mut head.headers, body.is_end_stream());
    }
    placed.aim(&mut head)?;
    ask(upstream, head, body, worker, limits.max_body_bytes, begun).await
}
