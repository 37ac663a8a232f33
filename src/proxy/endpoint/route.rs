//! From an HTTP request to what it asks for.
//!
//! Promise: every request gets a reply; what is refused says why and what to do.

use crate::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request};

use super::post::post;
use super::{Paths, Refusal, Spot, old};
use crate::proxy::http::{self, EventStream, HostPolicy, Page, Reply, Source, Version};
use crate::proxy::session::Session;
use crate::proxy::state::{AppState, Counts};
use crate::proxy::wire::{Code, Fault};

/// What the route of a request says of it.
#[derive(Clone, Copy)]
pub struct Spotted<'a> {
    /// Who may talk to the upstream.
    pub policy: &'a HostPolicy,
    /// The paths of its endpoint.
    pub paths: &'a Paths,
    /// The one that the request names.
    pub spot: Spot,
}

/// Serves one HTTP request.
///
/// # Cancel safety
///
/// A client that goes away cancels nothing: a request that was written to a child runs on, and its
/// answer is dropped.
pub async fn serve(
    state: &Arc<AppState>,
    spotted: Spotted<'_>,
    request: Request<Incoming>,
) -> Reply {
    Counts::add(&state.counts.requests);
    let (page, replied) = spotted.policy.enter(&request);
    let replied = match replied {
        Some(replied) => replied.map_err(Refusal::from),
        None => route(state, spotted, request).await,
    };
    finish(&state.counts, page, replied)
}

/// Serves one HTTP request that leads nowhere, where MCP is spoken at `endpoints`.
pub fn serve_nowhere(
    counts: &Counts,
    policy: &HostPolicy,
    endpoints: &str,
    request: &Request<Incoming>,
) -> Reply {
    Counts::add(&counts.requests);
    let (page, replied) = policy.enter(request);
    let replied = replied.unwrap_or_else(|| Err(nothing_here(endpoints)));
    finish(counts, page, replied.map_err(Refusal::from))
}

/// A reply as it goes out, to a page that may read it.
fn finish(counts: &Counts, page: Option<Page>, replied: Result<Reply, Refusal>) -> Reply {
    let mut reply = replied.unwrap_or_else(|refusal| {
        Counts::add(&counts.faults);
        let kind = refusal.fault.code.name();
        tracing::debug!(kind, text = refusal.fault.message, "refused");
        refusal.to_reply()
    });
    if let Some(page) = page {
        page.may_read(&mut reply);
    }
    reply
}

async fn route(
    state: &Arc<AppState>,
    spotted: Spotted<'_>,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let (head, body) = request.into_parts();
    let paths = spotted.paths;
    match spotted.spot {
        Spot::Endpoint => {}
        // Where a request has a process of its own there are no sessions, and so nothing but requests.
        Spot::Stream | Spot::Posts if state.backend.is_oneshot() => {
            return Err(nothing_here(&paths.endpoint).into());
        }
        Spot::Stream if head.method == Method::GET => {
            return Box::pin(old::open(state, &paths.posts, &head.headers)).await;
        }
        Spot::Posts if head.method == Method::POST => {
            return Box::pin(old::post(state, head.uri.query(), &head.headers, body)).await;
        }
        Spot::Stream | Spot::Posts => return Err(nothing_here(&paths.endpoint).into()),
    }
    match head.method {
        Method::POST => post(state, &head.headers, body).await,
        _ if state.backend.is_oneshot() || http::says_modern(&head.headers) => {
            Err(Fault::new(Code::PostOnly, "there are no sessions; use POST").into())
        }
        Method::GET => get(state, &head.headers),
        Method::DELETE => delete(state, &head.headers),
        _ => Err(Fault::new(Code::WrongHttpMethod, "use POST, GET or DELETE").into()),
    }
}

/// Opens the stream of a session.
fn get(state: &AppState, headers: &HeaderMap) -> Result<Reply, Refusal> {
    if !http::accepts(headers).stream {
        return Err(Fault::new(
            Code::NotAcceptable,
            "GET opens an event stream; send `Accept: text/event-stream`",
        )
        .into());
    }
    let session = named_session(state, headers)?;
    if state.is_closing() {
        return Err(Fault::closing().into());
    }
    let last = http::last_event(headers);
    let reader = match last.and_then(|id| session.replay.resume(id, session.outbox())) {
        Some(reader) => reader,
        None => {
            let stream = session.outbox().open().ok_or_else(ended)?;
            session.replay.begin(Source::Session(stream), None)
        }
    };
    Ok(http::stream(EventStream::kept(reader, session.is_primed())))
}

/// Ends a session.
fn delete(state: &AppState, headers: &HeaderMap) -> Result<Reply, Refusal> {
    let session = named_session(state, headers)?;
    state.sessions.end(&session.id).ok_or_else(ended)?;
    Ok(http::done())
}

/// The refusal of a path that leads nowhere.
fn nothing_here(endpoints: &str) -> Fault {
    let text = format!("nothing is here; MCP is spoken at {endpoints}");
    Fault::new(Code::NoSuchPath, text)
}

fn named_session(state: &AppState, headers: &HeaderMap) -> Result<Arc<Session>, Fault> {
    let (_, session) = session_of(state, headers)?;
    session.ok_or_else(|| {
        Fault::new(
            Code::BadHeader,
            "`Mcp-Session-Id` is missing; it came with the answer to `initialize`",
        )
    })
}

/// The revision and the session that a request names.
///
/// # Errors
///
/// [`Code::SessionEnded`] if there is no such session (any more), [`Code::UnsupportedVersion`] if the request is of a
/// revision that is not spoken here and that the session did not agree on.
pub fn session_of(
    state: &AppState,
    headers: &HeaderMap,
) -> Result<(Option<Version>, Option<Arc<Session>>), Fault> {
    let session = match http::session_id(headers)? {
        None => None,
        Some(id) => Some(state.sessions.find(id).ok_or_else(ended)?),
    };
    let child = session.as_ref().and_then(|session| session.child());
    let version = http::version(headers, child.and_then(|child| child.revision.as_deref()))?;
    Ok((version, session))
}

/// The refusal of a session that is not there.
pub fn ended() -> Fault {
    Fault::new(
        Code::SessionEnded,
        "session not found: it ended or never was; initialize a new one",
    )
}
