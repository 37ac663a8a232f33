//! What a request leads to, whatever brought it here: HTTP, or a line on standard input.

use bytes::Bytes;
use tokio::time::Instant;

use super::Underway;
use crate::proxy::backend::{Exchange, Initialized};
use crate::proxy::call::Manner;
use crate::proxy::http::{Accepts, Source};
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
pub fn exchange<'a>(
    state: &AppState,
    message: &'a Envelope<'a>,
    body: &'a Bytes,
    accepts: Accepts,
    session: Option<&'a Arc<Session>>,
    is_modern: bool,
) -> Exchange<'a> {
    let manner = match message.method().unwrap_or_default() {
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
        message,
        body,
        accepts,
        session,
        deadline,
        manner,
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
    exchange: &Exchange<'_>,
) -> Result<Begun, Fault> {
    let method = exchange.message.method().unwrap_or_default();
    if exchange.manner.is_modern() {
        if let Some(begun) = begin_modern(state, raw_id, method, exchange).await? {
            return Ok(begun);
        }
    } else if method == "initialize" && !state.backend.is_oneshot() {
        if exchange.session.is_some() {
            let text = "this session is initialized; send `initialize` without `Mcp-Session-Id` for a new one";
            return Err(Fault::new(Code::BadMessage, text));
        }
        let begun = initialize(state, &RawId::new(raw_id), exchange).await;
        return begun.map(Begun::Initialized);
    }
    let begun = Underway::begin(state, raw_id, exchange).await;
    begun.map(Begun::Called)
}

/// Begins a session, as often as that is safe.
async fn initialize(
    state: &AppState,
    id: &RawId,
    exchange: &Exchange<'_>,
) -> Result<Initialized, Fault> {
    let (backend, mut retries) = (&state.backend, 0);
    loop {
        let begun = backend.initialize(&state.sessions, id.clone(), exchange);
        match begun.await {
            Err(fault) if backend.may_retry(exchange, &fault, retries) => retries += 1,
            begun => return begun,
        }
    }
}

/// What the proxy itself says to a request of the revision without sessions.
async fn begin_modern(
    state: &AppState,
    raw_id: &str,
    method: &str,
    exchange: &Exchange<'_>,
) -> Result<Option<Begun>, Fault> {
    if let "initialize"
    | "ping"
    | "logging/setLevel"
    | "resources/subscribe"
    | "resources/unsubscribe" = method
    {
        let text = format!("`{method}` is not part of this revision");
        return Err(Fault::new(Code::NoSuchMethod, text));
    }
    let hello = state.backend.modern_hello().await?;
    if exchange.manner == Manner::Listening && state.is_closing() {
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
            let source = state
                .sessions
                .listeners
                .listen(&id, exchange.message.params);
            Some(Begun::Listening(source))
        }
        _ => None,
    })
}
