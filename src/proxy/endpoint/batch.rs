//! Several messages in one POST or on one line, which only revision 2025-03-26 knows.
//!
//! Promise: messages are sent in their order; each request of the batch gets its answer or its fault.

use crate::sync::Arc;

use bytes::Bytes;

use super::begin::exchange;
use super::post::{unreadable, untold, whole};
use super::{Refusal, Underway};
use crate::proxy::http::{self, Accepts, Reply, Version};
use crate::proxy::session::Session;
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RawId};

/// Messages that one batch may have.
const MAX_MESSAGES: usize = 100;

/// The requests of a batch that were begun, with their ids, in its order.
pub struct Batch(Vec<(RawId, Result<Underway, Fault>)>);

/// Serves a batch.
///
/// # Errors
///
/// The refusal of all of it: the revision knows no batches, or a message in it cannot be read.
pub async fn batch(
    state: &Arc<AppState>,
    session: Option<Arc<Session>>,
    body: &Bytes,
    accepts: Accepts,
) -> Result<Reply, Refusal> {
    let begun = begin_batch(state, session.as_ref(), body, accepts).await?;
    Ok(match begun {
        Some(batch) => whole(batch.answers().await, accepts),
        None => http::accepted(),
    })
}

/// Sends the messages of a batch; `None`: none of them expects an answer.
///
/// # Errors
///
/// As [`batch`].
pub async fn begin_batch(
    state: &Arc<AppState>,
    session: Option<&Arc<Session>>,
    body: &Bytes,
    accepts: Accepts,
) -> Result<Option<Batch>, Fault> {
    if session.is_none_or(|session| session.version() != Version::V2025_03_26) {
        let text =
            "a batch is taken only in a session of protocol version 2025-03-26; send one message";
        return Err(Fault::new(Code::BadMessage, text));
    }
    let items = wire::batch_items(body).map_err(unreadable)?;
    let messages = parse_all(&items)?;
    let asks = |message: &Envelope<'_>| matches!(message.kind, Kind::Request { .. });
    let is_asked = messages.iter().any(asks);
    let (mut calls, mut is_stuck) = (Vec::new(), false);
    for (item, message) in items.iter().zip(&messages) {
        // An array holds answers only: what comes before them goes to the session's stream.
        let accepts = Accepts {
            stream: false,
            ..accepts
        };
        let exchange = exchange(state, message, item, accepts, session, false);
        match &message.kind {
            Kind::Request { id, .. } => {
                let call = Underway::begin(state, id, message, exchange).await;
                calls.push((RawId::new(id), call));
            }
            // Each would wait as long for what does not read.
            _ if is_stuck => {}
            _ => match state.backend.tell(message, &exchange).await {
                Ok(()) => {}
                // What is asked is answered, whatever becomes of the rest; but nothing is, where all is over.
                Err(fault) if is_asked && (!is_over(&fault) || !calls.is_empty()) => {
                    is_stuck = fault.code == Code::TimedOut;
                    tracing::debug!(reason = fault.message, "a message of a batch was not taken");
                }
                Err(fault) => return Err(untold(fault)),
            },
        }
    }
    Ok((!calls.is_empty()).then_some(Batch(calls)))
}

fn parse_all(items: &[Bytes]) -> Result<Vec<Envelope<'_>>, Fault> {
    let refuse = |text: String| Err(Fault::new(Code::BadMessage, text));
    if items.is_empty() || items.len() > MAX_MESSAGES {
        return refuse(format!("a batch has 1 to {MAX_MESSAGES} messages"));
    }
    let parsed = items.iter().map(|item| wire::parse(item));
    let messages: Vec<_> = parsed.collect::<Result<_, _>>().map_err(unreadable)?;
    let mut methods = messages.iter().map(Envelope::method);
    match methods.any(|method| method == Some("initialize")) {
        true => refuse("`initialize` cannot be part of a batch".to_owned()),
        false => Ok(messages),
    }
}

fn is_over(fault: &Fault) -> bool {
    matches!(fault.code, Code::ChildDied | Code::SessionEnded)
}

impl Batch {
    /// The array of the answers, once all are there.
    pub async fn answers(self) -> Bytes {
        let mut out = Vec::from(*b"[");
        for (id, call) in self.0 {
            if out.len() > 1 {
                out.push(b',');
            }
            let answer = match call {
                Ok(mut call) => call.message().await.0,
                Err(fault) => fault.to_json(Some(id.as_bytes())).into(),
            };
            out.extend_from_slice(&answer);
        }
        out.push(b']');
        out.into()
    }
}
