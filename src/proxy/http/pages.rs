//! Pages of other origins that run an MCP client in a browser.
//!
//! Promise: a page of an origin that the configuration names may ask, and read what is answered, refusals included;
//! no other origin is named in a reply, and none by `*`. Cost: nothing for a request without `Origin`.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, VARY,
};
use hyper::{Method, Request, Response, StatusCode};

use super::{Reply, ReplyBody};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// Those of every revision; a page may not send another one that the browser does not set itself.
const TAKEN: &str = "Content-Type, Authorization, Mcp-Session-Id, MCP-Protocol-Version, Last-Event-ID, \
    Mcp-Method, Mcp-Name, traceparent, tracestate";
/// How those begin that a tool's schema names.
const OF_TOOLS: &str = "mcp-param-";
/// Beside those that a page may read anyway.
const READ: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate, Retry-After, Allow");
/// For how long a browser need not ask again: as long as one keeps an answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// A page whose origin the configuration names.
#[derive(Debug)]
pub struct Page(HeaderValue);

impl Page {
    /// The page of this origin, as its browser wrote it.
    pub(super) fn of(origin: &HeaderValue) -> Self {
        Self(origin.clone())
    }

    /// The answer to what a browser asks before a request; `None`: this is a request of the page itself.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Reply> {
        let headers = request.headers();
        if request.method() != Method::OPTIONS
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let mut reply = Response::new(ReplyBody::empty());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let allowed = reply.headers_mut();
        allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, taken(headers));
        allowed.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(reply)
    }

    /// Lets the page read a reply.
    pub fn may_read(self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        headers.append(VARY, BY_ORIGIN);
    }
}

/// The headers that the page may send: those of tools are as many as there are tools, so it has those that it asks for.
fn taken(headers: &HeaderMap) -> HeaderValue {
    let mut taken = String::from(TAKEN);
    let asked = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let asked = asked.filter_map(|value| value.to_str().ok());
    let names = asked.flat_map(|value| value.split(','));
    for name in names.filter_map(|name| HeaderName::try_from(name.trim()).ok()) {
        if name.as_str().starts_with(OF_TOOLS) {
            taken.extend([", ", name.as_str()]);
        }
    }
    // Of names of headers alone, so it is one.
    HeaderValue::try_from(taken).unwrap_or(HeaderValue::from_static(TAKEN))
}
