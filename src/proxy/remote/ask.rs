//! One message to the upstream, and what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use hyper::http::response::Parts;
use hyper::{Method, Response, StatusCode};
use tokio::time::timeout;

use super::core::{Core, Place};
use super::follow;
use super::head::{self, Media};
use super::outgoing::{Outgoing, What};
use super::single;
use crate::AcquireErrorKind;
use crate::AcquirePhase;
use crate::proxy::wire::{self, Code, Fault, GATEKEEPERS, Kind, RequestId};
use crate::sync::Arc;
use crate::transport::http::{HttpBody, HttpClient, HttpError, HttpRequest};

/// How much of a refusal is read.
const MAX_REFUSAL: usize = 64 << 10;
/// How long that may take.
pub const REST_WITHIN: Duration = Duration::from_secs(2);
/// How much of its text is passed on.
const MAX_TEXT: usize = 200;
/// What a 404 says of a session.
pub const UNKNOWN: &str = "the upstream does not know the session any more";

/// Sends a request and brings its answer, or why there is none.
pub async fn ask(place: Place, message: Outgoing) {
    if let Err(fault) = try_ask(&place, &message).await {
        place.core.fault(&place.id, fault);
    }
}

async fn try_ask(place: &Place, message: &Outgoing) -> Result<(), Fault> {
    let (core, id) = (&place.core, &place.id);
    let greets = matches!(message.what, What::Request { is_initialize, .. } if is_initialize);
    let is_known = greets && core.source.is_old();
    if core.has_one_stream() || is_known && Box::pin(single::open(core)).await? {
        return Box::pin(single::ask(place, message, greets)).await;
    }
    let answer = post(core, message).await?;
    let (head, body) = answer.into_parts();
    if is_lost(core, message, head.status) && !greets {
        forgotten(place);
        return Ok(());
    }
    if !head.status.is_success() {
        let text = rest(body).await;
        let may_be_old = greets && single::may_be(head.status) && !answers(&text, id);
        if may_be_old && Box::pin(single::open(core)).await? {
            return Box::pin(single::ask(place, message, greets)).await;
        }
        return refused(core, Some(id), &head, text);
    }
    if greets {
        core.greeted(&head.headers);
    }
    match head::media(&head.headers) {
        Media::Events => {
            // A greeting has a time of its own, which may be longer than a silence.
            if !greets {
                core.sign(id);
            }
            follow::to_answer(place, body, greets, message).await
        }
        Media::Json => {
            let text = body.collect(core.source.max_message).await;
            let text = text.map_err(|error| fault_of(&error))?;
            let answered = follow::pass_on(core, text, Some(id), greets);
            answered.then_some(()).ok_or_else(|| {
                let text = "the upstream's reply does not answer the request";
                Fault::new(Code::UpstreamFailed, text)
            })
        }
        Media::Other => {
            let text = format!(
                "the upstream answered {} without JSON or events",
                head.status
            );
            Err(Fault::new(Code::UpstreamFailed, text))
        }
    }
}

/// Sends what expects no answer, and waits until the upstream took it.
///
/// # Errors
///
/// The fault of an upstream that does not take it.
pub async fn tell(core: &Arc<Core>, message: Outgoing) -> Result<(), Fault> {
    let answer = post(core, &message).await?;
    let (head, body) = answer.into_parts();
    if is_lost(core, &message, head.status) {
        core.lose(UNKNOWN);
        return Err(lost());
    }
    if !head.status.is_success() {
        let text = rest(body).await;
        return refused(core, None, &head, text);
    }
    // It was taken, however long the rest of the reply takes.
    core.spawn(async move { drop(rest(body).await) });
    match &message.what {
        What::Initialized => core.stand(),
        What::Cancelled(Some(id)) => core.give_up(id),
        _ => {}
    }
    Ok(())
}

/// Sends a message; once more where an old connection broke off, that does no harm and the budget of retries has it.
///
/// # Errors
///
/// The fault of an upstream that cannot be reached.
pub async fn post(core: &Core, message: &Outgoing) -> Result<Response<HttpBody>, Fault> {
    let repeatable = matches!(message.what, What::Request { is_repeatable, .. } if is_repeatable);
    let request = HttpRequest {
        method: Method::POST,
        headers: head::of_post(&core.source.headers, &core.names(), message),
        body: message.body.clone(),
    };
    send(core, core.posts(), &request, repeatable).await
}

/// The same for any request.
///
/// # Errors
///
/// The fault of an upstream that cannot be reached.
pub async fn send(
    core: &Core,
    client: &HttpClient,
    request: &HttpRequest,
    repeatable: bool,
) -> Result<Response<HttpBody>, Fault> {
    let sent = match client.send(request).await {
        Err(HttpError::Broken { reused: true, .. })
            if repeatable && core.source.guard.may_retry(false) =>
        {
            client.send(request).await
        }
        sent => sent,
    };
    sent.map_err(|error| fault_of(&error))
}

/// Whether this status says that the session is not known any more.
pub fn is_lost(core: &Core, message: &Outgoing, status: StatusCode) -> bool {
    let is_named = || !message.names_revision && core.names().session.is_some();
    status == StatusCode::NOT_FOUND && (core.has_one_stream() || is_named())
}

/// Ends a session that the upstream does not know for the request that found that out: it was not looked at, and
/// somebody else may have it.
pub fn forgotten(place: &Place) {
    place.core.close(UNKNOWN); // before: it is not sent here again
    place.core.fault(&place.id, lost());
    place.core.lose(UNKNOWN);
}

fn lost() -> Fault {
    Fault {
        not_run: true,
        ..Fault::new(
            Code::SessionEnded,
            format!("{UNKNOWN}; initialize a new one"),
        )
    }
}

/// Passes on the JSON-RPC error in a refusal, if it answers the request; what is refused at the door is refused here,
/// too: how a client may come in is said by the head.
///
/// # Errors
///
/// Else its status as a fault.
pub fn refused(
    core: &Core,
    id: Option<&RequestId>,
    head: &Parts,
    text: Bytes,
) -> Result<(), Fault> {
    if let Some(request) = id
        && !GATEKEEPERS.contains(&head.status)
        && head::media(&head.headers) == Media::Json
        && answers(&text, request)
    {
        core.say(wire::single_line(text), id);
        return Ok(());
    }
    Err(Fault::passed_on(
        head.status,
        &head.headers,
        &excerpt(&text),
    ))
}

/// What follows a head that says by itself what became of the message, where that comes soon. Read also where nobody
/// needs it: else the connection could not be used again.
pub async fn rest(body: HttpBody) -> Bytes {
    let read = timeout(REST_WITHIN, body.collect(MAX_REFUSAL)).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}

/// Whether a message is the answer to the request with this id, or is once who reads it has mended it.
pub fn answers(message: &[u8], id: &RequestId) -> bool {
    answered(message).as_ref() == Some(id)
}

/// The request that a message answers.
pub fn answered(message: &[u8]) -> Option<RequestId> {
    match wire::parse(message).map(|message| message.kind) {
        Ok(Kind::Response { id, .. }) => id.and_then(RequestId::from_raw),
        Ok(_) => None,
        Err(error) => {
            let mended = wire::mended(message, &error);
            mended.and_then(|message| answered(&message))
        }
    }
}

/// As much of a text as is passed on.
pub fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let end = text
        .char_indices()
        .nth(MAX_TEXT)
        .map_or(text.len(), |(at, _)| at);
    text[..end].to_owned()
}

/// The fault of an exchange that failed.
pub fn fault_of(error: &HttpError) -> Fault {
    let code = match error {
        HttpError::NoConnection(error) => match error.kind() {
            AcquireErrorKind::Closed => Code::Closing,
            AcquireErrorKind::TimedOut(AcquirePhase::Wait) => Code::Busy,
            _ => Code::NoChild,
        },
        HttpError::Dropped => Code::NoChild,
        HttpError::Broken { .. } => Code::ChildDied,
        _ => Code::UpstreamFailed,
    };
    let fault = Fault::new(code, error.to_string());
    match (error, code) {
        (HttpError::NoConnection(_) | HttpError::Dropped, Code::NoChild) => fault.not_run(),
        _ => fault,
    }
}
