//! One request and its answer, whatever either side speaks.
//!
//! Promise: a request goes over another connection only if not a byte of it was written.

use bytes::Bytes;
use http_body_util::{Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::{Instant, timeout};

use super::body::{Answer, Hold, Passed};
use super::channel::{Failed, Outgoing};
use super::fields;
use crate::AcquireError;
use crate::proxy::plain::counts::Counts;
use crate::proxy::plain::exchange::no_connection;
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::options::HostHeader;
use crate::proxy::plain::refusal::{self, Refusal};
use crate::proxy::plain::table::Route;
use crate::proxy::plain::worker::Worker;
use crate::sync::Arc;

/// Answers a request.
pub async fn forward(request: Request<Incoming>, peer: &str, worker: &Worker) -> Response<Answer> {
    Counts::add(&worker.counts.requests);
    let answer = match pass(request, peer, worker).await {
        Ok(answer) => answer,
        Err(refusal) => {
            Counts::add(&worker.counts.refused);
            own(refusal)
        }
    };
    worker.counts.answer(answer.status().as_u16());
    answer
}

async fn pass(
    request: Request<Incoming>,
    peer: &str,
    worker: &Worker,
) -> Result<Response<Answer>, Refusal> {
    let limits = &worker.shared.options.limits;
    let table = worker.shared.table();
    let (host, path) = place(&request, limits.max_target_bytes)?;
    if request.body().size_hint().lower() > limits.max_body_bytes {
        return Err(refusal::TOO_LARGE);
    }
    let route = table.routes.route(&host, &path).ok_or(refusal::NO_ROUTE)?;
    let upstream = route.upstream.clone();
    let most = usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX);
    let (mut head, body) = request.into_parts();
    fields::of_request(
        &mut head.headers,
        peer,
        &host,
        limits.trust_forwarded,
        upstream.options.h2,
    );
    aim(&mut head, route, &host, &path)?;
    let mut request = Request::from_parts(head, Limited::new(body, most));
    let (mut tried, mut again) = (0, 0);
    loop {
        let Some(mut flight) = Upstream::pick(&upstream, worker.index, tried, Instant::now())
        else {
            return Err(refusal::NO_ADDRESS);
        };
        match send(&mut flight, request).await {
            Ok((answer, hold)) => {
                flight.answered(answer.status().as_u16());
                return Ok(passed(answer, hold, flight));
            }
            Err(Missed::Unsent(back)) if again < 2 => (request, again) = (*back, again + 1),
            Err(Missed::Unsent(_)) => {
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
            Err(Missed::Lost(refusal)) => {
                if refusal != refusal::TOO_LARGE {
                    flight.failed();
                }
                return Err(refusal);
            }
        }
    }
}

/// The host and path that decide the route.
fn place(request: &Request<Incoming>, most: usize) -> Result<(String, String), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::new(501, "this proxy opens no tunnels"));
    }
    let uri = request.uri();
    let named = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = uri
        .authority()
        .map(|authority| authority.as_str())
        .or(named);
    let host = host.ok_or(Refusal::bad("there is no Host"))?;
    if host.contains('@') {
        return Err(Refusal::bad("Host is not the name of a host"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match path.len() > most {
        true => Err(Refusal::new(
            414,
            "the target of the request is longer than this proxy takes",
        )),
        false => Ok((host.to_owned(), path.to_owned())),
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

/// Why there is no answer.
enum Missed {
    Unsent(Box<Request<Outgoing>>),
    NoConnection(AcquireError, Box<Request<Outgoing>>),
    Lost(Refusal),
}

async fn send(
    flight: &mut Flight<Arc<Upstream>>,
    request: Request<Outgoing>,
) -> Result<(Response<Incoming>, Hold), Missed> {
    let limit = flight.options().timeouts.request;
    let lane = flight.lane();
    let missed = |error, request| Missed::NoConnection(error, Box::new(request));
    let (sent, hold) = if flight.options().h2 {
        let lease = match lane.shared_channel().await {
            Ok(lease) => lease,
            Err(error) => return Err(missed(error, request)),
        };
        (
            timeout(limit, lease.turn().send(request)).await,
            Hold::Shared { _lease: lease },
        )
    } else {
        let mut lease = match lane.channels.acquire().await {
            Ok(lease) => lease,
            Err(error) => return Err(missed(error, request)),
        };
        (
            timeout(limit, lease.begin().send(request)).await,
            Hold::Own(lease),
        )
    };
    match sent {
        Ok(Ok(answer)) => Ok((answer, hold)),
        Ok(Err(Failed::Unsent(back))) => Err(Missed::Unsent(back)),
        Ok(Err(Failed::Lost(error))) => Err(Missed::Lost(lost(&error))),
        Err(_) => Err(Missed::Lost(refusal::LATE)),
    }
}

fn lost(error: &hyper::Error) -> Refusal {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<http_body_util::LengthLimitError>() {
            return refusal::TOO_LARGE;
        }
        source = inner.source();
    }
    match error.is_parse() {
        true => refusal::BAD_ANSWER,
        false => refusal::BROKEN,
    }
}

fn passed(
    answer: Response<Incoming>,
    hold: Hold,
    flight: Flight<Arc<Upstream>>,
) -> Response<Answer> {
    let idle = flight.options().timeouts.idle;
    let (mut head, body) = answer.into_parts();
    fields::strip(&mut head.headers);
    head.version = Version::default();
    Response::from_parts(
        head,
        Answer::Passed(Box::new(Passed::new(body, hold, flight, idle))),
    )
}

fn own(refusal: Refusal) -> Response<Answer> {
    let text = format!("{}\n", refusal.reason);
    let length = text.len();
    let mut answer = Response::new(Answer::Own(Full::new(Bytes::from(text))));
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
