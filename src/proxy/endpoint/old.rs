//! The transport of revision 2024-11-05: a stream that says where to post, and posts whose answers come
//! on the stream.
//!
//! Promise: the session is the stream and ends with it; every request that was taken gets its answer or
//! its fault on the stream.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderMap;

use super::begin::exchange;
use super::post::{unreadable, untold};
use super::route::ended;
use super::{Refusal, Underway};
use crate::proxy::backend::Exchange;
use crate::proxy::http::{self, Accepts, EventStream, Reply, Source, Version};
use crate::proxy::session::{Debt, Session, SessionTable};
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RawId};
use crate::sync::Arc;

/// What names the session there.
const KEY: &str = "session_id=";

/// Ends the session with its stream.
struct Ending {
    sessions: Arc<SessionTable>,
    id: Box<str>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.sessions.end(&self.id);
    }
}

/// Begins a session and opens its stream.
///
/// # Errors
///
/// The refusal to answer with.
pub async fn open(state: &AppState, posts: &str, headers: &HeaderMap) -> Result<Reply, Refusal> {
    if !http::accepts(headers).stream {
        let text = "GET opens an event stream; send `Accept: text/event-stream`";
        return Err(Fault::new(Code::NotAcceptable, text).into());
    }
    if state.is_closing() {
        return Err(Fault::closing().into());
    }
    let child = state.backend.seat().await?;
    let session = state.sessions.begin(Version::V2024_11_05, child)?;
    let ending = Ending {
        sessions: state.sessions.clone(),
        id: session.id.clone(),
    };
    let stream = session.outbox().open_only().ok_or_else(ended)?;
    let head = format!("event: endpoint\ndata: {posts}?{KEY}{}\n\n", session.id);
    Ok(http::stream(EventStream::behind(
        head.into(),
        Source::Session(stream),
        Box::new(ending),
    )))
}

/// Takes one message; what answers it goes to the stream.
///
/// # Errors
///
/// The refusal to answer with.
pub async fn post(
    state: &Arc<AppState>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Refusal> {
    http::check_json(headers)?;
    let limits = state.options.whole();
    let body = http::read_body(body, limits.max_body_bytes, limits.request_timeout).await?;
    let session = posted_session(query)
        .and_then(|id| state.sessions.find(id))
        .ok_or_else(ended)?;
    let message = wire::parse(&body).map_err(unreadable)?;
    // What comes before an answer goes the way of the answer.
    let accepts = Accepts {
        json: true,
        stream: false,
    };
    let exchange = exchange(state, &message, &body, accepts, Some(&session), false);
    match &message.kind {
        Kind::Request { id, .. } if session.outbox().is_full() => {
            let text = "more waits on the session's stream than is kept; read it first";
            return Err(Refusal::of(Fault::new(Code::Busy, text), &RawId::new(id)));
        }
        Kind::Request { id, .. } => request(state, &session, id, &message, exchange).await,
        _ => {
            let told = state.backend.tell(&message, &exchange).await;
            told.map_err(untold)?;
        }
    }
    Ok(http::accepted())
}

/// The session that a post names.
pub fn posted_session(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(KEY))
}

async fn request(
    state: &Arc<AppState>,
    session: &Arc<Session>,
    id: &str,
    message: &Envelope<'_>,
    exchange: Exchange,
) {
    let raw = RawId::new(id);
    let debt = session.outbox().owe();
    let say = |message: Bytes| debt.send(message);
    let fault = |fault: Fault| say(fault.to_json(Some(raw.as_bytes())).into());
    if message.method() == Some("initialize") && session.child().is_none() {
        match state.backend.greet(&raw, message, &exchange).await {
            Ok((answer, version)) => {
                session.agree(version);
                say(answer);
            }
            Err(refused) => fault(refused),
        }
        return;
    }
    match Underway::begin(state, id, message, exchange).await {
        Ok(call) => state.tasks.spawn(pump(call, debt)),
        Err(refused) => fault(refused),
    }
}

/// Brings what the call brings to the stream, which stays for that where the session ends meanwhile.
async fn pump(mut call: Underway, debt: Debt) {
    loop {
        let (message, is_last) = call.message().await;
        if is_last {
            return debt.send(message);
        }
        debt.mention(message);
    }
}
