//! Sessions with one stream, as the transport of 2024-11-05 has them: a GET opens it, its first event says where to
//! post, and the answer to every post comes on it.
//!
//! Promise: where to post is of the origin that was configured, or nothing is posted; a session ends with its stream,
//! which nobody can go on with, and what was under way is told that it may have run.
//! Cost: as that of other sessions, and a look at the id of each answer.

use std::pin::pin;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use super::ask::{self, REST_WITHIN};
use super::core::{Core, Place};
use super::follow::{self, End, Follower};
use super::head::{self, Media};
use super::outgoing::Outgoing;
use crate::proxy::wire::{Code, Fault, GATEKEEPERS};
use crate::sync::Arc;
use crate::transport::http::{HttpBody, HttpClient, HttpRequest};
use crate::transport::sse::{SseEvent, SseParser};

/// A stream that said where to post.
struct Begun {
    posts: HttpClient,
    body: HttpBody,
    parser: SseParser,
}

/// Whether an upstream that refuses `initialize` so may be of this transport.
pub fn may_be(status: StatusCode) -> bool {
    let refusals = [
        StatusCode::BAD_REQUEST,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    refusals.contains(&status)
}

/// Opens a session's one stream; `false`: the upstream has none. Either is remembered for the next session.
///
/// # Errors
///
/// The fault of an upstream that is not there, lets nobody in, or does not say where to post.
pub async fn open(core: &Arc<Core>) -> Result<bool, Fault> {
    let begun = match timeout(core.source.connect_timeout, begin(core)).await {
        Ok(begun) => begun,
        Err(_) => {
            let text = "the upstream's stream did not say in time where to post";
            Err(Fault::new(Code::TimedOut, text))
        }
    };
    core.source.note_old(matches!(begun, Ok(Some(_))));
    let Some(begun) = begun? else {
        return Ok(false);
    };
    let reading = read(core.clone(), begun.body, begun.parser);
    // Where a message beside this one opened it first, that one is there.
    Ok(core.stand_alone(begun.posts, reading) || core.has_one_stream())
}

async fn begin(core: &Core) -> Result<Option<Begun>, Fault> {
    let source = &core.source;
    let request = HttpRequest {
        method: Method::GET,
        headers: head::of_get(&source.headers, &core.names(), None),
        body: Bytes::new(),
    };
    let answer = ask::send(core, &source.client, &request, true).await?;
    let (head, mut body) = answer.into_parts();
    if !head.status.is_success() {
        let text = ask::rest(body).await;
        let fault = Fault::passed_on(head.status, &head.headers, &ask::excerpt(&text));
        let is_asked_for_more = GATEKEEPERS.contains(&head.status);
        return if is_asked_for_more {
            Err(fault)
        } else {
            Ok(None)
        };
    }
    if head::media(&head.headers) != Media::Events {
        return Ok(None);
    }
    let mut parser = SseParser::new(source.max_message);
    let named = match first(&mut body, &mut parser).await {
        Some(event) if event.event == "endpoint" => event.data,
        _ => return Ok(None),
    };
    let posts = source.client.at(named.trim()).map_err(|error| {
        let text = format!("the upstream says to post to {named:.200}, which is not done: {error}");
        Fault::new(Code::UpstreamFailed, text)
    })?;
    Ok(Some(Begun {
        posts,
        body,
        parser,
    }))
}

/// The first event that says something.
async fn first(body: &mut HttpBody, parser: &mut SseParser) -> Option<SseEvent> {
    loop {
        while let Some(event) = parser.next() {
            if !event.data.is_empty() {
                return Some(event);
            }
        }
        let piece = body.next().await?.ok()?;
        parser.push(&piece).ok()?;
    }
}

/// Passes on what the stream brings, and ends the session with it.
async fn read(core: Arc<Core>, body: HttpBody, parser: SseParser) {
    let mut follower = Follower::new(&core, None, false);
    match follower.read_on(body, parser).await {
        End::TooLong => {
            let reason = "the upstream sent an event that is too long";
            core.break_off(reason, &Fault::new(Code::UpstreamFailed, reason));
        }
        End::Lost | End::Answered => {
            core.break_off("the upstream's stream broke off", &follow::broken());
        }
    }
}

/// Sends a request, and waits until its answer was passed on.
///
/// # Errors
///
/// Why there will be none.
pub async fn ask(place: &Place, message: &Outgoing, greets: bool) -> Result<(), Fault> {
    let mut answered = place.answered();
    let mut posted = pin!(post(place, message, greets));
    let is_taken = tokio::select! {
        biased;
        _ = &mut answered => {
            // Its connection can be used again, if the reply comes now.
            let _ = timeout(REST_WITHIN, posted).await;
            return Ok(());
        }
        posted = &mut posted => posted?,
    };
    if is_taken {
        let _ = answered.await; // else it was given up, and this with it
    }
    Ok(())
}

/// Posts a request; `false`: that ended it.
async fn post(place: &Place, message: &Outgoing, greets: bool) -> Result<bool, Fault> {
    let core = &place.core;
    let (head, body) = ask::post(core, message).await?.into_parts();
    if ask::is_lost(core, message, head.status) && !greets {
        ask::forgotten(place);
        return Ok(false);
    }
    if !head.status.is_success() {
        let text = ask::rest(body).await;
        return ask::refused(core, Some(&place.id), &head, text).map(|()| false);
    }
    // A greeting has a time of its own, which may be longer than a silence.
    if !greets {
        core.sign(&place.id);
    }
    let _ = ask::rest(body).await;
    Ok(true)
}
