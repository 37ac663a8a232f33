//! What is remembered of the revision that a server speaks: what it answered, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};

use crate::client::{Client, initialize, modern_tool};
use crate::fixture::{PATIENCE, http_options, marker, options, script, start_with};
use crate::program::Program;
use crate::upstream::{Act, Stage};

/// Those that ask a server for the revision without sessions.
const ASKING: [Mode; 3] = [Mode::Stateless, Mode::Exclusive, Mode::Session];

/// Calls until one is served; what comes before is a refusal that says that no child is there.
async fn is_served(client: &Client) {
    let begun = Instant::now();
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
async fn a_server_over_http_that_is_in_trouble_when_it_is_asked_first_is_asked_again() {
    for refusal in [503, 429, 404] {
        for mode in ASKING {
            let is_well = Arc::new(AtomicBool::new(false));
            let well = is_well.clone();
            let stage = Stage::open(move |seen| {
                let refused = json!({"jsonrpc": "2.0", "id": seen.body["id"],
                    "error": {"code": -32601, "message": "no such method"}});
                Some(match seen.asks() {
                    _ if !well.load(Ordering::Relaxed) => Act::status(refusal),
                    "server/discover" => seen.discovered(json!({})),
                    "tools/call" => return None,
                    _ => Act::json(refused),
                })
            })
            .await;
            let (_server, client) = start_with(http_options(stage.address, mode)).await;
            let reply = client.post_modern(&modern_tool(1, "any", json!({}))).await;
            assert_eq!(reply.kind(), "no_child", "{refusal} {mode:?}");
            is_well.store(true, Ordering::Relaxed);
            is_served(&client).await;
        }
    }
}

#[tokio::test]
async fn a_child_that_dies_while_it_starts_says_nothing_of_the_next() {
    for mode in ASKING {
        let mark = std::env::temp_dir().join(marker("frail"));
        let frail = format!("frail:{}", mark.display());
        let options = ServeOptions {
            max_connections: Some(1),
            ..options(script("plunge-test", &["modern", &frail]), mode)
        };
        if mode == Mode::Session {
            std::fs::write(&mark, "").unwrap(); // none is started before the first request
        }
        let (_server, client) = start_with(options).await;
        is_served(&client).await;
        for _ in 0..2 {
            std::fs::write(&mark, "").unwrap();
            client.post_modern(&modern_tool(1, "die", json!({}))).await;
            is_served(&client).await;
            assert!(!mark.exists(), "one was killed");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_slow_to_start_is_heard_though_a_handshake_was_tried() {
    let is_heard = async |mode| {
        let options = ServeOptions {
            max_connections: Some(1),
            connect_timeout: Duration::from_secs(8),
            ..options(script("plunge-test", &["modern", "late"]), mode)
        };
        let (_server, client) = start_with(options).await;
        is_served(&client).await;
    };
    tokio::join!(
        is_heard(Mode::Stateless),
        is_heard(Mode::Exclusive),
        is_heard(Mode::Session)
    );
}

/// A program that answers this question, and calls, and is silent over anything else.
fn answering(question: &str, result: &Value) -> String {
    format!(
        r#"#!/bin/sh
while read -r line; do
    case $line in *'"die"'*) exit 3 ;; *'"{question}"'* | *tools/call*) ;; *) continue ;; esac
    id=${{line#*'"id":'}}; id=${{id%%,*}}
    echo '{{"jsonrpc":"2.0","id":'$id',"result":{result}}}'
done
"#
    )
}

#[tokio::test]
async fn a_server_that_is_silent_over_what_it_answered_before_is_asked_both_ways_again() {
    let found =
        json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}});
    let newer = answering("server/discover", &found);
    let agreed = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let older = answering("initialize", &agreed);
    let is_asked = async |first: &str, then: &str, test| {
        let program = Program::new(test);
        program.replace(first);
        let options = ServeOptions {
            max_connections: Some(1),
            connect_timeout: Duration::from_secs(1),
            ..options(program.command(&[]), Mode::Stateless)
        };
        let (_server, client) = start_with(options).await;
        is_served(&client).await;
        program.replace(then);
        client.post_modern(&modern_tool(1, "die", json!({}))).await;
        is_served(&client).await;
        client.post(&initialize("2025-11-25")).await
    };
    let (downgraded, upgraded) = tokio::join!(
        is_asked(&newer, &older, "downgraded"),
        is_asked(&older, &newer, "upgraded")
    );
    assert_eq!(downgraded.status, 200, "{downgraded:?}");
    assert_eq!(upgraded.json()["error"]["code"], -32022, "{upgraded:?}");
}

#[tokio::test]
async fn a_server_that_refuses_the_first_question_in_the_newer_way_is_not_asked_in_the_older() {
    for mode in ASKING {
        for code in [-32020, -32021, -32022] {
            let stage = Stage::open(move |seen| {
                let error = json!({"code": code, "message": "not as you ask", "data": {"supported": ["2027-01-01"]}});
                let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
                let head = "content-type: application/json";
                (seen.method == "POST").then(|| Act::Say(400, head, answer.to_string()))
            })
            .await;
            let (_server, client) = start_with(http_options(stage.address, mode)).await;
            for id in 0..3 {
                let reply = client.post_modern(&modern_tool(id, "any", json!({}))).await;
                assert_eq!(reply.kind(), "no_child", "{mode:?} {reply:?}");
                let said = reply.json()["error"]["message"].to_string();
                assert!(said.contains("not as you ask"), "{mode:?} {said}");
            }
            let shaken = stage.seen(|seen| seen.asks() == "initialize");
            assert!(shaken.is_empty(), "{mode:?} {code}");
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_revision_and_lists_an_older_one_is_asked_for_that() {
    for mode in [Mode::Stateless, Mode::Exclusive] {
        let stage = Stage::open(|seen| {
            let error =
                json!({"code": -32022, "message": "older", "data": {"supported": ["2025-11-25"]}});
            let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
            let head = "content-type: application/json";
            let asks = seen.asks() == "server/discover";
            asks.then(|| Act::Say(400, head, answer.to_string()))
        })
        .await;
        let (_server, client) = start_with(http_options(stage.address, mode)).await;
        assert_eq!(
            client.call(1, "any", json!({})).await.text(),
            "called",
            "{mode:?}"
        );
    }
}
