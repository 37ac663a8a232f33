//! Several messages in one POST or on one line, which only revision 2025-03-26 knows.
//!
//! Promise: messages are sent in their order; each request of the batch gets its answer or its fault.

use crate::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Refusal;
use super::post::{unreadable, untold, whole};
use crate::proxy::backend::Exchange;
use crate::proxy::call::{Call, Manner, Step};
use crate::proxy::http::{self, Accepts, Reply, Version};
use crate::proxy::session::Session;
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RawId};
use crate::resilience::Deadline;

/// Messages that one batch may have.
const MAX_MESSAGES: usize = 100;

/// The requests of a batch that were begun, with their ids, in its order.
pub struct Batch(Vec<(RawId, Result<Call, Fault>)>);

/// Serves a batch.
///
/// # Errors
///
/// The refusal of all of it: the revision knows no batches, or a message in it cannot be read.
pub async fn batch(
    state: &AppState,
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
/// As [`batch`]; where none of them expects an answer, also that one could not be passed on.
pub async fn begin_batch(
    state: &AppState,
    session: Option<&Arc<Session>>,
    body: &Bytes,
    accepts: Accepts,
) -> Result<Option<Batch>, Fault> {
    if session.is_none_or(|session| session.version != Version::V2025_03_26) {
        let text =
            "a batch is taken only in a session of protocol version 2025-03-26; send one message";
        return Err(Fault::new(Code::BadMessage, text));
    }
    let items = wire::batch_items(body).map_err(unreadable)?;
    if items.is_empty() || items.len() > MAX_MESSAGES {
        let text = format!("a batch has 1 to {MAX_MESSAGES} messages");
        return Err(Fault::new(Code::BadMessage, text));
    }
    let messages = items
        .iter()
        .map(|item| wire::parse(item))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if messages
        .iter()
        .any(|message| message.method() == Some("initialize"))
    {
        let text = "`initialize` cannot be part of a batch";
        return Err(Fault::new(Code::BadMessage, text));
    }
    let is_request = |message: &Envelope<'_>| matches!(message.kind, Kind::Request { .. });
    let asks = messages.iter().any(is_request);
    let mut calls = Vec::new();
    for (item, message) in items.iter().zip(&messages) {
        // An array holds answers only: what comes before them goes to the session's stream.
        let accepts = Accepts {
            stream: false,
            ..accepts
        };
        let exchange = Exchange {
            message,
            body: item,
            accepts,
            session,
            deadline: Deadline::new(&state.options.get().timeouts(), Instant::now()),
            manner: Manner::Legacy,
        };
        match &message.kind {
            Kind::Request { id, .. } => {
                let call = state.backend.call(id, &exchange).await;
                calls.push((RawId::new(id), call));
            }
            _ => match state.backend.tell(&exchange).await.map_err(untold) {
                Ok(()) => {}
                // Who asks gets answers: nobody asked for this, and what was begun goes on.
                Err(fault) if asks => {
                    tracing::debug!(text = fault.message, "a notification was not passed on");
                }
                Err(fault) => return Err(fault),
            },
        }
    }
    Ok((!calls.is_empty()).then_some(Batch(calls)))
}

impl Batch {
    /// The array of the answers, once all are there.
    pub async fn answers(self) -> Bytes {
        let mut out = Vec::from(*b"[");
        for (id, call) in self.0 {
            if out.len() > 1 {
                out.push(b',');
            }
            let fault = match call {
                Err(fault) => fault,
                Ok(mut call) => match call.step().await {
                    Step::Answer { message, .. } | Step::Related(message) => {
                        out.extend_from_slice(&message);
                        continue;
                    }
                    Step::Fault(fault) => fault,
                },
            };
            out.extend_from_slice(&fault.to_json(Some(id.as_bytes())));
        }
        out.push(b']');
        out.into()
    }
}
