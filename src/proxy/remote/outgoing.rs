//! What a message on its way to the upstream is.

use bytes::Bytes;
use hyper::header::HeaderMap;

use super::head;
use crate::proxy::http::{ToolHeaders, names_revision};
use crate::proxy::watching::{TRACE, Trace};
use crate::proxy::wire::{self, Kind, RequestId};

/// A message, read as far as its way depends on it.
pub struct Outgoing {
    /// Its bytes.
    pub body: Bytes,
    /// What it is.
    pub what: What,
    /// It names its revision itself, as messages of the revision without sessions do.
    pub names_revision: bool,
    /// The headers that the revision without sessions asks for.
    pub headers: HeaderMap,
    /// The trace of the request that brought it.
    pub trace: Option<Trace>,
}

/// The kinds that take different ways.
pub enum What {
    /// It expects an answer.
    Request {
        /// Its id.
        id: RequestId,
        /// It begins a session.
        is_initialize: bool,
        /// Sent twice, it does what it does once.
        is_repeatable: bool,
        /// It subscribes.
        is_listening: bool,
    },
    /// The session is begun.
    Initialized,
    /// A request is given up.
    Cancelled(Option<RequestId>),
    /// Anything else.
    Other,
}

impl Outgoing {
    /// The request that it gives up, if that is what it does.
    pub fn cancels(&self) -> Option<&RequestId> {
        match &self.what {
            What::Cancelled(id) => id.as_ref(),
            _ => None,
        }
    }

    /// Reads a message; `None` if it is none.
    pub fn read(body: Bytes, tools: &ToolHeaders) -> Option<Self> {
        let copy = body.clone();
        let message = wire::parse(&copy).ok()?;
        let method = message.method().unwrap_or_default();
        let names_revision = names_revision(&message);
        let what = match &message.kind {
            Kind::Request { id, .. } => What::Request {
                id: RequestId::from_raw(id)?,
                is_initialize: method == "initialize",
                is_repeatable: wire::is_repeatable(method, names_revision),
                is_listening: method == "subscriptions/listen",
            },
            Kind::Notification { .. } if method == "notifications/initialized" => What::Initialized,
            Kind::Notification { .. } if method == "notifications/cancelled" => {
                let named = wire::cancelled_request(message.params);
                What::Cancelled(named.and_then(|named| RequestId::from_raw(named.request)))
            }
            _ => What::Other,
        };
        let headers = if names_revision {
            head::mirrored(&message, tools)
        } else {
            HeaderMap::new()
        };
        Some(Self {
            body,
            what,
            names_revision,
            headers,
            trace: TRACE.try_with(Clone::clone).ok(),
        })
    }
}
