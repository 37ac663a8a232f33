//! The replies of the endpoint.

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::{EventStream, ReplyBody};
use crate::proxy::wire::{Code, Fault};

/// A reply on its way to hyper.
pub type Reply = Response<ReplyBody>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A JSON message.
pub fn json(message: Bytes) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(Some(message)));
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// A JSON message with a status of its own.
pub fn json_with(status: StatusCode, message: Bytes) -> Reply {
    let mut reply = json(message);
    *reply.status_mut() = status;
    reply
}

/// 202 without a body: a notification or a response was taken.
pub fn accepted() -> Reply {
    let mut reply = Response::new(ReplyBody::empty());
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}

/// 200 without a body.
pub fn done() -> Reply {
    Response::new(ReplyBody::empty())
}

/// A stream of events, with the headers that keep it from being buffered on its way.
pub fn stream(events: EventStream) -> Reply {
    let mut reply = Response::new(ReplyBody::Events(events));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    reply
}

/// A fault with its status, as a JSON-RPC error for the request with this raw id.
pub fn fault(fault: &Fault, id: Option<&[u8]>) -> Reply {
    let mut reply = json(fault.to_json(id).into());
    *reply.status_mut() = fault.status();
    if let Some(seconds) = fault.retry_after {
        reply
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    for challenge in fault.passed.iter().flat_map(|passed| &passed.challenges) {
        reply
            .headers_mut()
            .append(WWW_AUTHENTICATE, challenge.clone());
    }
    let allowed = match fault.code {
        Code::WrongHttpMethod => "POST, GET, DELETE",
        Code::PostOnly => "POST",
        _ => return reply,
    };
    let allowed = HeaderValue::from_static(allowed);
    reply.headers_mut().insert(ALLOW, allowed);
    reply
}
