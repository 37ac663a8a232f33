//! One request and its answer, whatever either side speaks.
//!
//! Promise: a request goes over another connection only if not a byte of it was written, or if it has no body, a
//! second time does no harm, and the connection had served before. Of the host, the path and the number of fields the same holds as in HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::body::{Answer, Hold, Passed, Words};
use super::fields;
use super::pulse::Busy;
use super::send::{Missed, send};
use super::upload::Upload;
use crate::proxy::plain::access::Entry;
use crate::proxy::plain::counts::Counts;
use crate::proxy::plain::exchange::no_connection;
use crate::proxy::plain::head::checked_host;
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::options::{HeadLimits, HostHeader};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::proxy::plain::shared::Rules;
use crate::proxy::plain::table::Route;
use crate::proxy::plain::worker::Worker;
use crate::proxy::watching::{Asked, Trace};
use crate::sync::Arc;

/// A request, and what is known of where it came from.
pub struct Visit<'a> {
    pub request: Request<Incoming>,
    pub peer: &'a str,
    pub worker: &'a Worker,
    pub busy: Busy,
    /// What it is refused for, whatever it says.
    pub refusal: Option<Refusal>,
}

/// Answers a request.
pub async fn forward(visit: Visit<'_>) -> Response<Answer> {
    let Visit {
        mut request,
        peer,
        worker,
        busy,
        refusal,
    } = visit;
    let (begun, rules) = (Instant::now(), worker.shared.rules());
    Counts::count(&worker.counts.requests);
    let is_old = request.version() <= Version::HTTP_11;
    let placed = match refusal {
        Some(refusal) => Err(refusal),
        None => place(&request, &rules),
    };
    let trace = Trace::of(request.headers());
    trace.write(request.headers_mut());
    let mut entry = rules.log.as_ref().map(|log| {
        let uri = request.uri();
        let named = request.headers().get(HOST).map(HeaderValue::as_bytes);
        let route = placed.as_ref().ok();
        let asked = Asked {
            method: request.method().as_str(),
            host: uri.host().map(str::as_bytes).or(named),
            path: uri.path(),
            upstream: route.map(|placed| &*placed.route.upstream.options.name),
            trace: trace.context(),
        };
        Entry::new(log, &asked)
    });
    let upstream = placed.as_ref().ok();
    let upstream = upstream.map(|placed| placed.route.upstream.clone());
    let passed = match placed {
        Ok(placed) => pass(request, peer, worker.index, &rules.limits, placed, begun).await,
        Err(refusal) => Err(refusal),
    };
    let answer = match passed {
        Ok((answer, hold, flight)) => given(answer, hold, flight, &busy),
        Err(refusal) => {
            Counts::count(&worker.counts.refused);
            own(refusal)
        }
    };
    let (status, time) = (answer.status().as_u16(), begun.elapsed());
    worker.counts.answer(status);
    if let Some(upstream) = upstream {
        upstream.meter(worker.index).answered(status, time);
    }
    if let Some(entry) = &mut entry {
        entry.answered(status, Some(time));
    }
    let mut answer = answer.map(|words| Answer::new(words, entry, busy));
    if is_old && (worker.is_leaving() || refusal.is_some()) {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

/// Where a request goes.
struct Placed<'r> {
    route: &'r Route,
    host: String,
    path: String,
}

/// Finds the route of a request, if it is one.
fn place<'r>(request: &Request<Incoming>, rules: &'r Rules) -> Result<Placed<'r>, Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::new(501, "this proxy opens no tunnels"));
    }
    let (limits, uri, fields) = (&rules.limits, request.uri(), request.headers());
    if fields.len() > limits.max_fields {
        return Err(refusal::TOO_MANY_FIELDS);
    }
    let named = fields.get(HOST).map(HeaderValue::as_bytes);
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let host = authority.or(named).ok_or(refusal::NO_HOST)?;
    let host = checked_host(host)?.to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if path.len() > limits.max_target_bytes {
        return Err(refusal::LONG_TARGET);
    }
    let is_all = path == "*" && request.method() == Method::OPTIONS;
    if !path.starts_with('/') && !is_all {
        return Err(Refusal::bad("the target is not a path"));
    }
    if request.body().size_hint().lower() > limits.max_body_bytes {
        return Err(refusal::TOO_LARGE);
    }
    let path = path.to_owned();
    let route = rules.routes.route(&host, &path).ok_or(refusal::NO_ROUTE)?;
    match route.is_left_by(&path) {
        true => Err(refusal::ESCAPES),
        false => Ok(Placed { route, host, path }),
    }
}

type Given = (Response<Incoming>, Hold, Flight<Arc<Upstream>>);

async fn pass(
    request: Request<Incoming>,
    peer: &str,
    worker: usize,
    limits: &HeadLimits,
    placed: Placed<'_>,
    begun: Instant,
) -> Result<Given, Refusal> {
    let Placed { route, host, path } = placed;
    let upstream = route.upstream.clone();
    let (mut head, body) = request.into_parts();
    let h2 = upstream.options.h2;
    fields::of_request(&mut head.headers, peer, &host, limits.trust_forwarded, h2);
    if !h2 {
        fields::for_http1(&mut head.headers, body.is_end_stream());
    }
    aim(&mut head, route, &host, &path)?;
    // It can be sent again: there is nothing but a head.
    let spare = (body.is_end_stream() && head.method.is_idempotent()).then(|| head.clone());
    let mut request = Request::from_parts(head, Upload::new(body, limits.max_body_bytes));
    let overall = begun + upstream.options.timeouts.overall;
    let (mut tried, mut again, mut fresh) = (0, 0, false);
    loop {
        let Some(mut flight) = Upstream::pick(&upstream, worker, tried, Instant::now()) else {
            return Err(refusal::NO_ADDRESS);
        };
        match send(&mut flight, request, fresh, overall).await {
            Ok((answer, hold)) => {
                flight.answered(answer.status().as_u16());
                return Ok((answer, hold, flight));
            }
            Err(Missed::Unsent(back)) if again < 2 => (request, again) = (*back, again + 1),
            Err(Missed::Stale) if !fresh && spare.is_some() => {
                let Some(head) = spare.clone() else {
                    return Err(refusal::BROKEN);
                };
                (request, fresh) = (Request::from_parts(head, Upload::none()), true);
            }
            Err(Missed::Unsent(_) | Missed::Stale) => {
                flight.failed();
                return Err(refusal::BROKEN);
            }
            Err(Missed::NoConnection(error, back)) => {
                let refusal = no_connection(&error);
                if refusal != refusal::BUSY {
                    flight.unreachable();
                }
                tried |= flight.bit();
                let others = upstream.options.targets.len() as u32;
                if tried.count_ones() >= others {
                    return Err(refusal);
                }
                request = *back;
            }
            Err(Missed::Client(refusal)) => return Err(refusal),
            Err(Missed::Lost(refusal)) => {
                flight.failed();
                return Err(refusal);
            }
        }
    }
}

/// Points a request at its upstream.
fn aim(
    head: &mut hyper::http::request::Parts,
    route: &Route,
    host: &str,
    path: &str,
) -> Result<(), Refusal> {
    let named = match &route.options.host_header {
        HostHeader::Client => host,
        HostHeader::Named(name) => name,
    };
    let bad = |_| Refusal::bad("the target is not a path");
    let path = route.rewritten(path);
    head.uri = match route.upstream.options.h2 {
        true => {
            head.headers.remove(HOST);
            let built = Uri::builder()
                .scheme("http")
                .authority(named)
                .path_and_query(&*path);
            built.build().map_err(bad)?
        }
        false => {
            let host = HeaderValue::from_str(named)
                .map_err(|_| Refusal::bad("Host is not the name of a host"))?;
            head.headers.insert(HOST, host);
            Uri::builder().path_and_query(&*path).build().map_err(bad)?
        }
    };
    head.version = match route.upstream.options.h2 {
        true => Version::HTTP_2,
        false => Version::HTTP_11,
    };
    Ok(())
}

fn given(
    answer: Response<Incoming>,
    hold: Hold,
    flight: Flight<Arc<Upstream>>,
    busy: &Busy,
) -> Response<Words> {
    let (mut head, body) = answer.into_parts();
    fields::strip(&mut head.headers);
    head.version = Version::default();
    let passed = Passed::new(body, hold, flight, busy);
    Response::from_parts(head, Words::Passed(Box::new(passed)))
}

fn own(refusal: Refusal) -> Response<Words> {
    let text = format!("{}\n", refusal.reason);
    let length = text.len();
    let mut answer = Response::new(Words::Own(Full::new(Bytes::from(text))));
    *answer.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = answer.headers_mut();
    fields.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    fields.insert(CONTENT_LENGTH, length.into());
    if refusal.status == 503 {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
