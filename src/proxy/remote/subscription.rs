//! A subscription with an upstream of the revision without sessions, which knows no coming back to a stream.
//!
//! Promise: one whose stream broke is asked for again, by the policy of lost streams and with the same id;
//! its client sees one acknowledgement. What changed while there was no stream nobody can say, so all that
//! the upstream then agrees to tell is told once: a client looks once too often, and misses nothing.
//! Cost: a search for a word in each event.

use tokio::time::{Instant, sleep};

use super::ask;
use super::core::Place;
use super::follow::{self, Follower};
use super::head::{self, Media};
use super::outgoing::{Outgoing, What};
use crate::proxy::wire::{Code, Fault, subscription::Known};
use crate::transport::http::HttpBody;

/// What its client knows of the subscription that a request asks for, if it does.
pub fn of(message: &Outgoing) -> Option<Known> {
    let listens = matches!(message.what, What::Request { is_listening, .. } if is_listening);
    (listens && message.names_revision).then(Known::default)
}

/// Asks for it again until the upstream takes it; `None`: it was answered instead.
///
/// # Errors
///
/// The refusal, or the fault of a stream that is given up.
pub async fn again(
    follower: &mut Follower<'_>,
    place: &Place,
    message: &Outgoing,
) -> Result<Option<HttpBody>, Fault> {
    let core = &place.core;
    loop {
        let Some(pause) = follower.policy.lost(Instant::now()) else {
            return Err(follow::broken());
        };
        sleep(pause).await;
        let answer = match ask::post(core, message).await {
            Ok(answer) => answer,
            Err(fault) => {
                tracing::debug!(text = fault.message, "a subscription was not taken");
                continue;
            }
        };
        let (head, body) = answer.into_parts();
        if follow::is_passing(head.status) {
            continue;
        }
        if !head.status.is_success() {
            let text = ask::rest(body).await;
            return ask::refused(core, Some(&place.id), &head, text).map(|()| None);
        }
        if head::media(&head.headers) == Media::Events {
            return Ok(Some(body));
        }
        let text = body.collect(core.source.max_message).await;
        let text = text.map_err(|error| ask::fault_of(&error))?;
        if follow::pass_on(core, text, Some(&place.id), false) {
            return Ok(None);
        }
        let text = "the upstream's reply does not answer the subscription";
        return Err(Fault::new(Code::UpstreamFailed, text));
    }
}
