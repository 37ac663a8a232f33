//! What is remembered of the revision that a server speaks: what it answered, and nothing else.

use plunge::proxy::{Mode, ServeOptions};
use serde_json::json;

use crate::client::{Client, modern_tool};
use crate::fixture::{PATIENCE, http_options, marker, options, script, start_with};
use crate::upstream::{Act, Stage};

/// Calls until one is served; what comes before is a refusal that says that no child is there.
async fn is_served(client: &Client) {
    let begun = std::time::Instant::now();
    loop {
        let reply = client.post_modern(&modern_tool(1, "echo", json!({}))).await;
        if reply.json()["error"].is_null() {
            return;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_in_trouble_when_it_is_asked_first_is_asked_again() {
    for mode in [Mode::Stateless, Mode::Exclusive, Mode::Session] {
        let stage = Stage::open(|seen| {
            Some(match (seen.asks(), seen.nth) {
                ("server/discover", 0) => Act::status(503),
                ("server/discover", _) => Act::json(seen.result(json!({"resultType": "complete",
                    "supportedVersions": ["2026-07-28"], "capabilities": {}}))),
                ("initialize", _) => {
                    let error = json!({"code": -32601, "message": "no such method"});
                    let error = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
                    Act::json(error)
                }
                _ => return None,
            })
        })
        .await;
        let (_server, client) = start_with(http_options(stage.address, mode)).await;
        is_served(&client).await;
        assert!(stage.seen(|seen| seen.asks() == "server/discover").len() > 1);
    }
}

#[tokio::test]
async fn a_child_that_is_killed_while_it_starts_says_nothing_of_the_next() {
    let mark = std::env::temp_dir().join(marker("frail"));
    let frail = format!("frail:{}", mark.display());
    let options = ServeOptions {
        max_connections: Some(1),
        ..options(script("plunge-test", &["modern", &frail]), Mode::Stateless)
    };
    let (_server, client) = start_with(options).await;
    for _ in 0..2 {
        std::fs::write(&mark, "").unwrap();
        client.post_modern(&modern_tool(1, "die", json!({}))).await;
        is_served(&client).await;
        assert!(!mark.exists(), "one was killed");
    }
}

#[tokio::test]
async fn a_server_that_is_slow_to_start_is_heard_though_a_handshake_was_tried() {
    let is_heard = async |mode| {
        let options = ServeOptions {
            max_connections: Some(1),
            connect_timeout: std::time::Duration::from_secs(8),
            ..options(script("plunge-test", &["modern", "late"]), mode)
        };
        let (_server, client) = start_with(options).await;
        is_served(&client).await;
    };
    tokio::join!(is_heard(Mode::Stateless), is_heard(Mode::Exclusive));
}
