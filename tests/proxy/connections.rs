//! Subscriptions with a server over HTTP: each holds a connection, and none that a call needs.

use plunge::proxy::{Mode, ServeOptions};
use serde_json::json;

use crate::client::{modern, modern_tool};
use crate::fixture::{http_options, start_with};
use crate::upstream::{Act, Stage};

/// More than there are connections for calls.
const LISTENERS: u32 = 8;

/// A server of 2026-07-28 that acknowledges each subscription and says no more.
pub async fn silent() -> Stage {
    Stage::open(|seen| {
        let tag = json!({"io.modelcontextprotocol/subscriptionId": seen.body["id"]});
        let acknowledged = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
            "params": {"_meta": tag, "notifications": {}}});
        match seen.asks() {
            "server/discover" => Some(seen.discovered(json!({}))),
            "subscriptions/listen" => Some(Act::Stream(format!("data: {acknowledged}\n\n"), false)),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn subscriptions_take_no_connection_of_a_call() {
    for mode in [Mode::Stateless, Mode::Session] {
        let stage = silent().await;
        let options = ServeOptions {
            max_connections: Some(1),
            max_in_flight: 1,
            ..http_options(stage.address, mode)
        };
        let (_server, client) = start_with(options).await;
        let listen = |id: u32| modern(id, "subscriptions/listen", json!({}));
        let mut open = Vec::new();
        for id in 0..LISTENERS {
            let mut events = client.stream_modern(&listen(id)).await;
            let said = events.next().await.unwrap();
            assert_eq!(
                said["method"], "notifications/subscriptions/acknowledged",
                "{mode:?}"
            );
            open.push(events);
        }
        for id in 0..3 {
            let called = client.post_modern(&modern_tool(id, "any", json!({}))).await;
            assert_eq!(called.text(), "called", "{mode:?}");
        }
    }
}
