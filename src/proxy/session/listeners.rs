//! Clients of the revision without sessions that listen for changes of a server that knows no listening.
//!
//! Promise: each gets the kinds of changes that it asked for, with its own tag, after an acknowledgement
//! that says which; a listener that left costs nothing more after the next change.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Outbox;
use crate::proxy::call::Inbox;
use crate::proxy::http::{SessionStream, Source};
use crate::proxy::wire::RawId;
use crate::sync::{Arc, Mutex, Weak};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";
/// What can be asked for, and the notification that brings it.
const KINDS: [(&str, &str); 3] = [
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    (
        "resourcesListChanged",
        "notifications/resources/list_changed",
    ),
];
/// Listeners at a time; one more ends the oldest.
const MAX_LISTENERS: usize = 10_000;

/// Those who listen.
#[derive(Default)]
pub struct Listeners(Mutex<Vec<Listener>>);

struct Listener {
    inbox: Weak<Inbox<()>>,
    tag: Value,
    /// By the order of the kinds.
    wants: [bool; KINDS.len()],
}

impl Listeners {
    /// Begins a subscription: what the client's `notifications` ask for, as a stream that begins with the
    /// acknowledgement.
    pub fn listen(&self, id: &RawId, params: Option<&str>) -> Source {
        let params: Value = params
            .and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or_default();
        let wants = KINDS.map(|(name, _)| params["notifications"][name] == true);
        let honoured: Map<String, Value> = KINDS
            .iter()
            .zip(wants)
            .filter(|(_, wanted)| *wanted)
            .map(|((name, _), _)| ((*name).to_owned(), Value::Bool(true)))
            .collect();
        let tag: Value = serde_json::from_slice(id.as_bytes()).unwrap_or_default();
        let inbox = Arc::new(Inbox::default());
        let acknowledged = json!({
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {"_meta": {TAG: tag}, "notifications": honoured},
        });
        // An empty inbox takes it.
        let _ = inbox.push(Bytes::from(acknowledged.to_string()));
        let mut listeners = self.0.lock();
        let oldest = (listeners.len() >= MAX_LISTENERS).then(|| listeners.remove(0));
        listeners.push(Listener {
            inbox: Arc::downgrade(&inbox),
            tag,
            wants,
        });
        drop(listeners);
        if let Some(inbox) = oldest.and_then(|oldest| oldest.inbox.upgrade()) {
            inbox.finish(());
        }
        Source::Session(SessionStream {
            inbox,
            outbox: Outbox::closed(),
        })
    }

    /// Tells those who asked for this kind.
    pub fn tell(&self, method: &str) {
        let Some(kind) = KINDS.iter().position(|(_, name)| *name == method) else {
            return;
        };
        let mut told = Vec::new();
        self.0.lock().retain(|listener| {
            let Some(inbox) = listener.inbox.upgrade() else {
                return false;
            };
            if listener.wants[kind] {
                told.push((inbox, listener.tag.clone()));
            }
            true
        });
        for (inbox, tag) in told {
            let message =
                json!({"jsonrpc": "2.0", "method": method, "params": {"_meta": {TAG: tag}}});
            if inbox.push(Bytes::from(message.to_string())).is_err() {
                // So slow that it is full: it listens again and asks for the lists.
                inbox.finish(());
            }
        }
    }

    /// Ends every subscription in order: the last message is the answer to it.
    pub fn close(&self) {
        let listeners = std::mem::take(&mut *self.0.lock());
        for listener in listeners {
            if let Some(inbox) = listener.inbox.upgrade() {
                let tag = listener.tag;
                let end = json!({"jsonrpc": "2.0", "id": tag, "result": {"resultType": "complete", "_meta": {TAG: tag}}});
                let _ = inbox.push(Bytes::from(end.to_string()));
                inbox.finish(());
            }
        }
    }
}
