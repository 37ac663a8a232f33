//! What a request leads to, whatever brought it here: HTTP, or a line on standard input.

use bytes::Bytes;
use tokio::time::Instant;

use super::Underway;
use crate::proxy::backend::{Exchange, Initialized};
use crate::proxy::call::Manner;
use crate::proxy::http::{Accepts, Source, Version};
use crate::proxy::session::Session;
use crate::proxy::state::AppState;
use crate::proxy::wire::{Code, Envelope, Fault, RawId};
use crate::resilience::Deadline;
use crate::sync::Arc;

/// A request that was taken.
pub enum Begun {
    /// The proxy has the answer itself.
    Answered(Bytes),
    /// The answer to an `initialize`, and its session.
    Initialized(Initialized),
    /// A subscription that the proxy serves itself.
    Listening(Source),
    /// A child has it.
    Called(Underway),
}

/// One message of a client, as children get it; `is_modern`: of the revision without sessions.
pub fn exchange(
    state: &AppState,
    message: &Envelope<'_>,
    body: &Bytes,
    accepts: Accepts,
    session: Option<&Arc<Session>>,
    is_modern: bool,
) -> Exchange {
    let manner = match message.method().unwrap_or_default() {
        "initialize" if !is_modern => Manner::Handshake,
        _ if !is_modern => Manner::Legacy,
        "subscriptions/listen" => Manner::Listening,
        "server/discover" | "resources/read" => Manner::Cached,
        method if method.ends_with("/list") => Manner::Cached,
        _ => Manner::Modern,
    };
    let now = Instant::now();
    let deadline = match manner {
        Manner::Listening => Deadline::endless(now),
        _ => Deadline::new(&state.options.get().timeouts(), now),
    };
    Exchange {
        body: body.clone(),
        accepts,
        session: session.cloned(),
        version: session.map_or(Version::LATEST, |session| session.version()),
        deadline,
        manner,
        retries: 0,
    }
}

/// Begins a request with this raw id, which is part of the message.
///
/// # Errors
///
/// The fault to answer with.
pub async fn begin(
    state: &Arc<AppState>,
    raw_id: &str,
    message: &Envelope<'_>,
    exchange: Exchange,
) -> Result<Begun, Fault> {
    let method = message.method().unwrap_or_default();
    if exchange.manner.is_modern() {
        if let Some(begun) = begin_modern(state, raw_id, message, exchange.deadline).await? {
            return Ok(begun);
        }
    } else if method == "initialize" && !state.backend.is_oneshot() {
        if exchange.session.is_some() {
            let text = "this session is initialized; send `initialize` without `Mcp-Session-Id` for a new one";
            return Err(Fault::new(Code::BadMessage, text));
        }
        let id = RawId::new(raw_id);
        let begun = Box::pin(initialize(state, &id, message, exchange)).await;
        return begun.map(Begun::Initialized);
    }
    let begun = Underway::begin(state, raw_id, message, exchange).await;
    begun.map(Begun::Called)
}

/// Begins a session, as often as that is safe.
async fn initialize(
    state: &AppState,
    id: &RawId,
    message: &Envelope<'_>,
    mut exchange: Exchange,
) -> Result<Initialized, Fault> {
    let backend = &state.backend;
    loop {
        let begun = backend.initialize(&state.sessions, id.clone(), message, &exchange);
        match begun.await {
            Err(fault) if backend.take_retry(message, &mut exchange, &fault) => {}
            begun => return begun,
        }
    }
}

/// What the proxy itself says to a request of the revision without sessions.
async fn begin_modern(
    state: &AppState,
    raw_id: &str,
    message: &Envelope<'_>,
    deadline: Deadline,
) -> Result<Option<Begun>, Fault> {
    let method = message.method().unwrap_or_default();
    if let "initialize"
    | "ping"
    | "logging/setLevel"
    | "resources/subscribe"
    | "resources/unsubscribe" = method
    {
        let text = format!("`{method}` is not part of this revision");
        return Err(Fault::new(Code::NoSuchMethod, text));
    }
    let hello = Box::pin(state.backend.modern_hello(deadline)).await?;
    if method == "subscriptions/listen" && state.is_closing() {
        // Begun while it waited; the others were told, and this one would not be.
        return Err(Fault::closing());
    }
    let Some(hello) = hello.filter(|hello| !hello.is_modern) else {
        return Ok(None);
    };
    let id = RawId::new(raw_id);
    Ok(match method {
        "server/discover" => Some(Begun::Answered(hello.discover(&id))),
        "subscriptions/listen" => {
            let source = state.sessions.listeners.listen(&id, message.params);
            Some(Begun::Listening(source))
        }
        _ => None,
    })
}
