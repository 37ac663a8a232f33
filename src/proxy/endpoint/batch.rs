//! Several messages in one POST, which only revision 2025-03-26 knows.
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
use crate::proxy::wire::{self, Code, Fault, Kind};
use crate::resilience::Deadline;

/// Messages that one batch may have.
const MAX_MESSAGES: usize = 100;

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
    if session
        .as_ref()
        .is_none_or(|session| session.version != Version::V2025_03_26)
    {
        let text =
            "a batch is taken only in a session of protocol version 2025-03-26; send one message";
        return Err(Fault::new(Code::BadMessage, text).into());
    }
    let items = wire::batch_items(body).map_err(unreadable)?;
    if items.is_empty() || items.len() > MAX_MESSAGES {
        return Err(Fault::new(
            Code::BadMessage,
            format!("a batch has 1 to {MAX_MESSAGES} messages"),
        )
        .into());
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
        return Err(Fault::new(Code::BadMessage, "`initialize` cannot be part of a batch").into());
    }
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
            session: session.as_ref(),
            deadline: Deadline::new(&state.options.get().timeouts(), Instant::now()),
            manner: Manner::Legacy,
        };
        match &message.kind {
            Kind::Request { id, .. } => calls.push((*id, state.backend.call(id, &exchange).await)),
            _ => state.backend.tell(&exchange).await.map_err(untold)?,
        }
    }
    if calls.is_empty() {
        return Ok(http::accepted());
    }
    Ok(whole(collect(calls).await, accepts))
}

async fn collect(calls: Vec<(&str, Result<Call, Fault>)>) -> Bytes {
    let mut out = Vec::from(*b"[");
    for (id, call) in calls {
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
