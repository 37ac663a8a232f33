//! One HTTP request, from its head to the upstream that it is for.

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};

use super::{Found, Front};
use crate::proxy::endpoint::{self, Spotted};
use crate::proxy::http::{Reply, SESSION};
use crate::proxy::watching::{Asked, Line, Metered, TRACE, Tally, Trace};

/// Serves a request; what fits no route is refused.
pub async fn serve(front: &Front, request: Request<Incoming>) -> Response<Metered> {
    let found = {
        let table = front.table.load();
        table.find(request.headers(), request.uri().path())
    };
    let access = front.access.load();
    let trace = match &found {
        Some(found) if found.place.passes_traces => Some(Trace::of(request.headers())),
        _ => access.as_ref().map(|_| Trace::of(request.headers())),
    };
    let name = found.as_ref().map(|found| &found.place.name);
    let line = match (&*access, &trace) {
        (Some(access), Some(trace)) => {
            let host = request.headers().get(HOST);
            Some(Line::new(
                access,
                &Asked {
                    method: request.method().as_str(),
                    host: host.map(HeaderValue::as_bytes),
                    path: request.uri().path(),
                    upstream: name.map(|name| &**name),
                    trace: trace.context(),
                },
            ))
        }
        _ => None,
    };
    drop(access);
    let Some(Found { place, spot }) = found else {
        let tally = Tally::new(None, line);
        let paths = endpoints(front);
        let reply = endpoint::serve_nowhere(&front.counts, &front.policy, &paths, &request);
        return tally.replied(last_of_its_connection(front, reply));
    };
    let state = match place.elders.is_empty() {
        true => place.state.clone(),
        false => place.state_for(named_session(&request)).clone(),
    };
    let tally = Tally::new(Some(state.clone()), line);
    let spotted = Spotted {
        policy: &place.policy,
        paths: &place.paths,
        spot,
    };
    let serving = endpoint::serve(&state, spotted, request);
    let reply = match trace.filter(|_| place.passes_traces) {
        Some(trace) => TRACE.scope(trace, serving).await,
        None => serving.await,
    };
    tally.replied(last_of_its_connection(front, reply))
}

/// The session that a request names, as any revision does.
fn named_session(request: &Request<Incoming>) -> Option<&str> {
    let named = request.headers().get(SESSION);
    let named = named.and_then(|session| session.to_str().ok());
    named.or_else(|| endpoint::posted_session(request.uri().query()))
}

/// At a shutdown, the client is asked to go elsewhere with its next request.
fn last_of_its_connection(front: &Front, mut reply: Reply) -> Reply {
    if front.is_parting() {
        let close = HeaderValue::from_static("close");
        reply.headers_mut().insert(CONNECTION, close);
    }
    reply
}

/// The paths at which something is, for somebody who is lost.
fn endpoints(front: &Front) -> String {
    let table = front.table.load();
    let places = table.places().iter();
    let mut paths: Vec<_> = places.map(|place| &*place.paths.endpoint).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(", ")
}
