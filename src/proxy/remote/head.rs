//! The heads of requests to the upstream, and what those of its answers say.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};

use super::outgoing::Outgoing;
use crate::proxy::http::{self, SESSION, ToolHeaders};
use crate::proxy::wire::Envelope;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// What names a session at the upstream.
#[derive(Clone, Default)]
pub struct Names {
    /// Its id, if the upstream gave one.
    pub session: Option<HeaderValue>,
    /// The revision that was agreed on.
    pub version: Option<HeaderValue>,
}

impl Names {
    fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [(SESSION, &self.session), (VERSION, &self.version)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// The head of a message.
pub fn of_post(always: &HeaderMap, names: &Names, message: &Outgoing) -> HeaderMap {
    let mut headers = always.clone();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, BOTH);
    if let Some(trace) = &message.trace {
        trace.write(&mut headers);
    }
    if message.names_revision {
        headers.extend(message.headers.clone());
    } else {
        names.write(&mut headers);
    }
    headers
}

/// The head of a GET: for a stream from now on, or after an event.
pub fn of_get(always: &HeaderMap, names: &Names, after: Option<&str>) -> HeaderMap {
    let mut headers = of_delete(always, names);
    headers.insert(ACCEPT, EVENTS);
    if let Some(id) = after.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(LAST_EVENT, id);
    }
    headers
}

/// The head of a DELETE.
pub fn of_delete(always: &HeaderMap, names: &Names) -> HeaderMap {
    let mut headers = always.clone();
    names.write(&mut headers);
    headers
}

/// What the revision without sessions wants to see of a body in the head.
pub fn mirrored(message: &Envelope<'_>, tools: &ToolHeaders) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, HeaderValue::from_static(http::MODERN));
    let asked_for = tools.mirrored(message);
    for (name, value) in http::mirrored(message).into_iter().chain(asked_for) {
        headers.append(name, value);
    }
    headers
}

/// What an answer's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// One message, or several in an array.
    Json,
    /// Messages as events.
    Events,
    /// Neither.
    Other,
}

/// Reads `Content-Type`.
pub fn media(headers: &HeaderMap) -> Media {
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = named.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Media::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Media::Events
    } else {
        Media::Other
    }
}
