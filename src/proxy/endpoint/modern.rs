//! POST of the revision without sessions: each request stands for itself.
//!
//! Promise: headers and body agree before a child sees anything; a client that closes its stream cancels
//! its request.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde::Deserialize;

use super::begin::{Begun, begin, exchange};
use super::post::{unreadable, whole};
use super::{Refusal, Underway};
use crate::proxy::call::{Manner, Step};
use crate::proxy::http::{self, Accepts, EventStream, Reply, Source};
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RawId};
use crate::sync::Arc;

/// Serves one message.
///
/// # Errors
///
/// The refusal to answer with.
pub async fn modern(
    state: &Arc<AppState>,
    headers: &HeaderMap,
    body: &Bytes,
    accepts: Accepts,
) -> Result<Reply, Refusal> {
    if wire::is_batch(body) {
        let text = "this revision knows no batches; send one message";
        return Err(Fault::new(Code::BadMessage, text).into());
    }
    let message = wire::parse(body).map_err(unreadable)?;
    match &message.kind {
        Kind::Request { id, .. } => {
            let served = match http::written(headers) {
                None => request(state, headers, &message, body, accepts, id).await,
                Some(written) => {
                    // Rare: not in every request's own place.
                    let serving = request(state, headers, &message, body, accepts, id);
                    http::WRITTEN.scope(written, Box::pin(serving)).await
                }
            };
            served.map_err(|fault| refusal(fault, &RawId::new(id)))
        }
        // A cancellation is the end of a stream, and nothing else is told without an answer.
        Kind::Notification { method } => {
            http::check_notification(headers, method)?;
            Ok(http::accepted())
        }
        Kind::Response { .. } => {
            let text =
                "this revision has no answers of clients; repeat the request with `inputResponses`";
            Err(Fault::new(Code::BadMessage, text).into())
        }
    }
}

/// The refusal of a request: a method that is not there has a status of its own in this revision, whoever says so.
fn refusal(fault: Fault, id: &RawId) -> Refusal {
    let mut refusal = Refusal::of(fault, id);
    if refusal.fault.code == Code::NotOffered {
        refusal.status = StatusCode::NOT_FOUND;
    }
    refusal
}

async fn request(
    state: &Arc<AppState>,
    headers: &HeaderMap,
    message: &Envelope<'_>,
    body: &Bytes,
    accepts: Accepts,
    raw_id: &str,
) -> Result<Reply, Fault> {
    http::check_modern(headers, message)?;
    state.sessions.tools.check(headers, message)?;
    let exchange = exchange(state, message, body, accepts, None, true);
    if exchange.manner == Manner::Listening && !accepts.stream {
        let text = "a subscription is answered with events; send `Accept: text/event-stream`";
        return Err(Fault::new(Code::NotAcceptable, text));
    }
    match begin(state, raw_id, message, exchange).await? {
        Begun::Called(call) => answer(call, accepts).await,
        Begun::Answered(message) => Ok(whole(message, accepts)),
        Begun::Initialized(begun) => Ok(whole(begun.message, accepts)),
        Begun::Listening(source) => Ok(http::stream(EventStream::new(source, None))),
    }
}

async fn answer(mut call: Underway, accepts: Accepts) -> Result<Reply, Fault> {
    match call.step().await {
        Step::Answer {
            message,
            is_result: true,
        } => Ok(whole(message, accepts)),
        Step::Answer { message, .. } => Ok(match status_of(&message) {
            StatusCode::OK => whole(message, accepts),
            status => http::json_with(status, message),
        }),
        Step::Related(message) => Ok(http::stream(EventStream::new(
            Source::Call(call.into_call()),
            Some(message),
        ))),
        Step::Fault(fault) => Err(fault),
    }
}

#[derive(Deserialize)]
struct Failed {
    error: Numbered,
}

#[derive(Deserialize)]
struct Numbered {
    code: i64,
}

/// The status that the revision wants for an error.
fn status_of(message: &[u8]) -> StatusCode {
    match serde_json::from_slice::<Failed>(message).map(|failed| failed.error.code) {
        Ok(-32601) => StatusCode::NOT_FOUND,
        Ok(-32700 | -32600 | -32602 | -32020 | -32021 | -32022) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}
