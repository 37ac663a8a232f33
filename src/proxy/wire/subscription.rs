//! Subscriptions of revision 2026-07-28 as they are written: what can be asked for, the tag of each message,
//! and what a client is told whose subscription was begun anew behind its back.

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};

use super::RawId;

/// The member of `_meta` that names the subscription a message belongs to.
pub const TAG: &str = "io.modelcontextprotocol/subscriptionId";
/// The first message of a subscription.
pub const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// The lists that can be asked for, and the notification that brings the change of each.
pub const LISTS: [(&str, &str); 3] = [
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    (
        "resourcesListChanged",
        "notifications/resources/list_changed",
    ),
];

/// What its client knows of a subscription.
#[derive(Default)]
pub struct Known {
    acknowledged: bool,
}

impl Known {
    /// What is told instead of an acknowledgement that the client has already: all that was agreed on has
    /// changed, for nobody can say what did while nobody listened. `None`: the message itself is told.
    ///
    /// Cost: a search for a word in each message.
    pub fn missed(&mut self, message: &[u8]) -> Option<Vec<Bytes>> {
        memmem::find(message, ACKNOWLEDGED.as_bytes())?;
        let message: Value = serde_json::from_slice(message).ok()?;
        if message["method"] != ACKNOWLEDGED {
            return None;
        }
        let known = std::mem::replace(&mut self.acknowledged, true);
        known.then(|| changes(&message["params"]))
    }
}

/// The answer to a subscription that ends in order.
pub fn end(id: &RawId) -> Bytes {
    let tag: Value = serde_json::from_slice(id.as_bytes()).unwrap_or_default();
    let result = json!({"resultType": "complete", "_meta": {TAG: tag}});
    json!({"jsonrpc": "2.0", "id": tag, "result": result})
        .to_string()
        .into()
}

/// Everything that is subscribed to, as changed.
fn changes(params: &Value) -> Vec<Bytes> {
    let (meta, agreed) = (&params["_meta"], &params["notifications"]);
    let lists = LISTS.iter().filter(|(kind, _)| agreed[kind] == true);
    let lists = lists.map(|(_, method)| (*method, json!({"_meta": meta})));
    let resources = agreed["resourceSubscriptions"].as_array();
    let resources = resources.into_iter().flatten().map(|uri| {
        let params = json!({"_meta": meta, "uri": uri});
        ("notifications/resources/updated", params)
    });
    lists
        .chain(resources)
        .map(|(method, params)| json!({"jsonrpc": "2.0", "method": method, "params": params}))
        .map(|message| message.to_string().into())
        .collect()
}
