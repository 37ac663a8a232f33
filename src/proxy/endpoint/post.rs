//! POST: one message of a client, or a batch where its revision knows them.

use crate::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};

use super::batch::batch;
use super::begin::{Begun, begin, exchange};
use super::modern::modern;
use super::route::session_of;
use super::{Refusal, Underway};
use crate::proxy::backend::Initialized;
use crate::proxy::call::Step;
use crate::proxy::http::{self, Accepts, EventStream, Reply, SESSION, Source, Version};
use crate::proxy::session::Session;
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, EnvelopeError, Fault, Kind, RawId};

/// Serves a POST.
///
/// # Errors
///
/// The refusal to answer with.
pub async fn post(
    state: &Arc<AppState>,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Reply, Refusal> {
    http::check_json(headers)?;
    let accepts = http::accepts(headers);
    if !accepts.json && !accepts.stream {
        let text =
            "answers are JSON or event streams; send `Accept: application/json, text/event-stream`";
        return Err(Fault::new(Code::NotAcceptable, text).into());
    }
    let (most, patience) = {
        let options = state.options.get();
        (options.max_body_bytes, options.request_timeout)
    };
    // Before a refusal: who is still writing when the connection ends may not read why.
    let body = http::read_body(body, most, patience).await?;
    let says_modern = http::says_modern(headers);
    let (version, session) = if says_modern {
        (None, None) // whatever else it names
    } else {
        session_of(state, headers).map_err(|fault| unlooked_at(fault, &body))?
    };
    if state.is_closing() {
        return Err(unlooked_at(Fault::closing(), &body));
    }
    if says_modern || http::is_modern(headers, &body) {
        return modern(state, headers, &body, accepts).await;
    }
    if wire::is_batch(&body) {
        return Box::pin(batch(state, session, &body, accepts)).await;
    }
    one(state, session, version, &body, accepts).await
}

/// A refusal whatever the body says: a client looks for its request's id in it.
fn unlooked_at(fault: Fault, body: &[u8]) -> Refusal {
    let message = wire::parse(body).ok();
    let id = message.and_then(|message| match message.kind {
        Kind::Request { id, .. } => Some(RawId::new(id)),
        _ => None,
    });
    Refusal {
        id,
        ..Refusal::from(fault)
    }
}

async fn one(
    state: &Arc<AppState>,
    session: Option<Arc<Session>>,
    version: Option<Version>,
    body: &Bytes,
    accepts: Accepts,
) -> Result<Reply, Refusal> {
    let message = wire::parse(body).map_err(unreadable)?;
    let mut exchange = exchange(state, &message, body, accepts, session.as_ref(), false);
    if let (None, Some(version)) = (&session, version) {
        exchange.version = version;
    }
    let Kind::Request { id, .. } = &message.kind else {
        let told = state.backend.tell(&message, &exchange).await;
        told.map_err(untold)?;
        return Ok(http::accepted());
    };
    let answered = match begin(state, id, &message, exchange).await {
        Ok(Begun::Called(call)) => answer(call, accepts, session.as_ref()).await,
        Ok(Begun::Initialized(begun)) => initialized(begun, accepts),
        Ok(Begun::Answered(message)) => Ok(whole(message, accepts)),
        Ok(Begun::Listening(source)) => Ok(http::stream(EventStream::new(source, None))),
        Err(fault) => Err(fault),
    };
    answered.map_err(|fault| Refusal::of(fault, &RawId::new(id)))
}

/// The answer to an `initialize`, with the session's id.
fn initialized(begun: Initialized, accepts: Accepts) -> Result<Reply, Fault> {
    let mut reply = whole(begun.message, accepts);
    if let Some(session) = begun.session {
        let value = HeaderValue::from_str(&session.id)
            .map_err(|_| Fault::new(Code::BadHeader, "a session id was not printable"))?;
        reply.headers_mut().insert(SESSION, value);
    }
    Ok(reply)
}

/// Waits for the first step of a call: an answer goes out as JSON, anything before it opens a stream.
async fn answer(
    mut call: Underway,
    accepts: Accepts,
    session: Option<&Arc<Session>>,
) -> Result<Reply, Fault> {
    match call.step().await {
        Step::Answer { message, .. } => Ok(whole(message, accepts)),
        Step::Related(message) => {
            let source = Source::Call(call.into_call());
            Ok(http::stream(match session {
                Some(session) => EventStream::kept(
                    session.replay.begin(source, Some(message)),
                    session.is_primed(),
                ),
                None => EventStream::new(source, Some(message)),
            }))
        }
        Step::Fault(fault) => Err(fault),
    }
}

/// The refusal of a message that expects no answer: what it was for is over.
pub fn untold(fault: Fault) -> Fault {
    match fault.code {
        Code::ChildDied => Fault::new(Code::SessionEnded, fault.message),
        _ => fault,
    }
}

/// One message as the client takes it.
pub fn whole(message: Bytes, accepts: Accepts) -> Reply {
    if accepts.json {
        http::json(message)
    } else {
        http::stream(EventStream::of_one(message))
    }
}

/// The refusal of bytes that are no message.
pub fn unreadable(error: EnvelopeError) -> Fault {
    match error {
        EnvelopeError::NotJson(reason) => {
            Fault::new(Code::NotJson, format!("the body is not JSON: {reason}"))
        }
        EnvelopeError::NotMessage(reason) => Fault::new(
            Code::BadMessage,
            format!("the body is no JSON-RPC message: {reason}"),
        ),
    }
}
