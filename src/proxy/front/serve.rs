//! One HTTP request, from its head to the upstream that it is for.

use hyper::Request;
use hyper::body::Incoming;

use super::{Found, Front};
use crate::proxy::endpoint::{self, Refusal, nothing_here};
use crate::proxy::http::Reply;
use crate::proxy::state::Counts;

/// Serves a request; what fits no route is refused.
pub async fn serve(front: &Front, request: Request<Incoming>) -> Reply {
    let found = front
        .table
        .load()
        .find(request.headers(), request.uri().path());
    let Some(Found { place, spot }) = found else {
        return nowhere(front, &request);
    };
    endpoint::serve(&place.state, &place.paths, spot, request).await
}

fn nowhere(front: &Front, request: &Request<Incoming>) -> Reply {
    Counts::add(&front.counts.requests);
    Counts::add(&front.counts.faults);
    let fault = match front.policy.check(request.headers()) {
        Ok(()) => nothing_here(&endpoints(front)),
        Err(fault) => fault,
    };
    Refusal::from(fault).to_reply()
}

/// The paths at which something is, for somebody who is lost.
fn endpoints(front: &Front) -> String {
    let table = front.table.load();
    let mut paths: Vec<_> = table
        .places()
        .iter()
        .map(|place| &*place.paths.endpoint)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(", ")
}
