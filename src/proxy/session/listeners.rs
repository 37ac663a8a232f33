//! Clients of the revision without sessions that listen for changes of a server that knows no listening.
//!
//! Promise: each gets the kinds of changes that it asked for, with its own tag, after an acknowledgement
//! that says which; whatever ends a subscription here, its last message is the answer to it or its fault. A listener that left
//! costs nothing more after the next change.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::Outbox;
use crate::proxy::call::Inbox;
use crate::proxy::http::{SessionStream, Source};
use crate::proxy::wire::subscription::{self, ACKNOWLEDGED, LISTS, TAG};
use crate::proxy::wire::{Code, Fault, RawId};
use crate::sync::{Arc, Mutex, Weak};

/// Listeners at a time; one more ends the oldest.
const MAX_LISTENERS: usize = 10_000;

/// Those who listen.
#[derive(Default)]
pub struct Listeners {
    /// Those whom the proxy itself tells.
    told: Mutex<Vec<Listener>>,
    /// Counts the times at which all were to end.
    closes: watch::Sender<u64>,
}

struct Listener {
    inbox: Weak<Inbox<()>>,
    id: RawId,
    /// By the order of the kinds.
    wants: [bool; LISTS.len()],
}

impl Listeners {
    /// Begins a subscription: what the client's `notifications` ask for, as a stream that begins with the
    /// acknowledgement.
    pub fn listen(&self, id: &RawId, params: Option<&str>) -> Source {
        let params: Value = params
            .and_then(|raw| serde_json::from_str(raw).ok())
            .unwrap_or_default();
        let wants = LISTS.map(|(name, _)| params["notifications"][name] == true);
        let honoured: Map<String, Value> = LISTS
            .iter()
            .zip(wants)
            .filter(|(_, wanted)| *wanted)
            .map(|((name, _), _)| ((*name).to_owned(), Value::Bool(true)))
            .collect();
        let tag = tag_of(id);
        let inbox = Arc::new(Inbox::default());
        let acknowledged = json!({
            "jsonrpc": "2.0",
            "method": ACKNOWLEDGED,
            "params": {"_meta": {TAG: tag}, "notifications": honoured},
        });
        // An empty inbox takes it.
        let _ = inbox.push(Bytes::from(acknowledged.to_string()));
        let mut listeners = self.told.lock();
        if listeners.len() >= MAX_LISTENERS {
            // Those who left make room before anybody who listens.
            listeners.retain(|listener| listener.inbox.strong_count() > 0);
        }
        let oldest = (listeners.len() >= MAX_LISTENERS).then(|| listeners.remove(0));
        listeners.push(Listener {
            inbox: Arc::downgrade(&inbox),
            id: id.clone(),
            wants,
        });
        drop(listeners);
        if let Some(oldest) = oldest {
            oldest.end();
        }
        Source::Session(SessionStream {
            inbox,
            outbox: Outbox::closed(),
        })
    }

    /// Tells those who asked for this kind.
    pub fn tell(&self, method: &str) {
        let Some(kind) = LISTS.iter().position(|(_, name)| *name == method) else {
            return;
        };
        let mut told = Vec::new();
        self.told.lock().retain(|listener| {
            let Some(inbox) = listener.inbox.upgrade() else {
                return false;
            };
            if listener.wants[kind] {
                told.push((inbox, listener.id.clone()));
            }
            true
        });
        for (inbox, id) in told {
            let params = json!({"_meta": {TAG: tag_of(&id)}});
            let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
            if inbox.push(Bytes::from(message.to_string())).is_err() {
                // So slow that it is full: it listens again and asks for the lists.
                let text = "changes were not read as fast as they came; listen again";
                let fault = Fault::new(Code::Busy, text).to_json(Some(id.as_bytes()));
                end(&inbox, fault.into());
            }
        }
    }

    /// Those whom the proxy itself tells, now.
    pub fn len(&self) -> usize {
        let told = self.told.lock();
        let open = told.iter().filter(|one| one.inbox.strong_count() > 0);
        open.count()
    }

    /// Tells when every subscription is to end: with its next change.
    pub fn closing(&self) -> watch::Receiver<u64> {
        self.closes.subscribe()
    }

    /// Ends every subscription in order: the last message is the answer to it.
    pub fn close(&self) {
        self.closes.send_modify(|closes| *closes += 1);
        let listeners = std::mem::take(&mut *self.told.lock());
        listeners.iter().for_each(Listener::end);
    }
}

impl Listener {
    fn end(&self) {
        if let Some(inbox) = self.inbox.upgrade() {
            end(&inbox, subscription::end(&self.id));
        }
    }
}

/// Ends a subscription with its last message, however much waits before that.
fn end(inbox: &Inbox<()>, last: Bytes) {
    let _ = inbox.push_owed(last);
    inbox.finish(());
}

fn tag_of(id: &RawId) -> Value {
    serde_json::from_slice(id.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
