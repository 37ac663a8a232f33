//! Starts of children that go wrong once: what is learned from them, and what is not.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plunge::proxy::{Mode, ServeOptions};
use plunge::resilience::BreakerOptions;
use plunge::transport::Command;
use serde_json::json;

use crate::client::{Client, Reply, initialize, modern, modern_tool};
use crate::fixture::{PATIENCE, http_options, marker, options, python, start_with, stats};
use crate::upstream::{Act, Stage};

/// Knows no handshake. `dies`: over `server/discover`, while the file is there, which it then takes away;
/// `late`: it answers that only with what comes after it.
const MODERN_ONLY: &str = r#"
import json, os, sys
way, path = sys.argv[1:3]
kept = None

def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    found = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}
    if number is None:
        continue
    if method == "server/discover":
        if way == "dies" and os.path.exists(path):
            os.remove(path)
            os._exit(3)
        if way == "late" and kept is None:
            kept = number
            continue
        say({"id": number, "result": found})
        continue
    if kept is not None:
        say({"id": kept, "result": found})
    if method != "tools/call":
        say({"id": number, "error": {"code": -32601, "message": "no such method"}})
    elif message["params"]["name"] == "die":
        os._exit(3)
    else:
        say({"id": number, "result": {"resultType": "complete", "content": [{"type": "text", "text": "called"}]}})
"#;

struct Mark(PathBuf);

impl Mark {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(marker(test)))
    }

    fn set(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn modern_only(way: &str, mark: &Mark, mode: Mode) -> ServeOptions {
    let path = mark.0.to_str().unwrap();
    options(
        Command::new(python()).args(["-c", MODERN_ONLY, way, path]),
        mode,
    )
}

/// Calls until a call is served.
async fn served(client: &Client) {
    let begun = Instant::now();
    loop {
        let reply = client.post_modern(&modern_tool(1, "any", json!({}))).await;
        if reply.status == 200 && reply.json()["error"].is_null() {
            return assert_eq!(reply.text(), "called");
        }
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_handshake_that_dies_at_the_first_question_serves_at_the_next() {
    let mark = Mark::new("dies-at-first");
    mark.set();
    let (_server, client) = start_with(modern_only("dies", &mark, Mode::Session)).await;
    served(&client).await;
    assert!(!mark.0.exists(), "it was asked and died");
}

#[tokio::test]
async fn one_that_was_known_and_dies_at_a_later_start_is_not_taken_for_an_older_one() {
    let mark = Mark::new("dies-later");
    for mode in [Mode::Stateless, Mode::Exclusive] {
        let (_server, client) = start_with(modern_only("dies", &mark, mode)).await;
        served(&client).await;
        mark.set();
        while mark.0.exists() {
            client.post_modern(&modern_tool(1, "die", json!({}))).await;
        }
        served(&client).await;
    }
}

#[tokio::test]
async fn one_that_answers_the_first_question_late_is_not_taken_for_an_older_one() {
    let mark = Mark::new("answers-late");
    for mode in [Mode::Session, Mode::Stateless, Mode::Exclusive] {
        let mut options = modern_only("late", &mark, mode);
        options.connect_timeout = Duration::from_secs(4);
        let (_server, client) = start_with(options).await;
        let reply = client.post_modern(&modern_tool(1, "any", json!({}))).await;
        assert_eq!(reply.text(), "called", "{mode:?}");
    }
}

#[tokio::test]
async fn a_server_over_http_that_is_in_trouble_at_the_first_question_serves_at_the_next() {
    for refusal in [503, 429, 404] {
        for mode in [Mode::Session, Mode::Stateless] {
            let is_well = Arc::new(AtomicBool::new(false));
            let well = is_well.clone();
            let stage = Stage::open(move |seen| {
                let refused = json!({"jsonrpc": "2.0", "id": seen.body["id"],
                    "error": {"code": -32601, "message": "no such method"}});
                Some(match seen.asks() {
                    _ if !well.load(Ordering::Relaxed) => Act::status(refusal),
                    "server/discover" => Act::json(seen.result(json!({"resultType": "complete",
                        "supportedVersions": ["2026-07-28"], "capabilities": {}}))),
                    "tools/call" => return None,
                    _ => Act::json(refused),
                })
            })
            .await;
            let (_server, client) = start_with(http_options(stage.address, mode)).await;
            let reply = client.post_modern(&modern_tool(1, "any", json!({}))).await;
            assert_eq!(reply.kind(), "no_child", "{refusal} {mode:?}");
            is_well.store(true, Ordering::Relaxed);
            served(&client).await;
        }
    }
}

/// A proxy before an address where nobody listens, whose breaker opens soon.
async fn before_nobody(mode: Mode) -> (plunge::proxy::Server, Client) {
    let stage = Stage::open(|_| None).await;
    let address = stage.address;
    drop(stage);
    start_with(ServeOptions {
        breaker: BreakerOptions {
            failures: 3,
            cooldown: Duration::from_secs(60),
            ..BreakerOptions::default()
        },
        ..http_options(address, mode)
    })
    .await
}

#[tokio::test]
async fn starts_that_fail_open_the_breaker_whoever_waits_for_them() {
    let listed = modern(1, "tools/list", json!({}));
    let begun = initialize("2025-11-25");
    for (mode, message) in [
        (Mode::Stateless, &listed),
        (Mode::Exclusive, &listed),
        (Mode::Session, &listed),
        (Mode::Shared, &begun),
        (Mode::Exclusive, &begun),
    ] {
        let (server, client) = before_nobody(mode).await;
        let ask = async || -> Reply {
            match message["method"] == "initialize" {
                true => client.post(message).await,
                false => client.post_modern(message).await,
            }
        };
        let mut kinds = Vec::new();
        for _ in 0..5 {
            kinds.push(ask().await.kind());
        }
        let expected = [
            "no_child",
            "no_child",
            "no_child",
            "circuit_open",
            "circuit_open",
        ];
        assert_eq!(kinds, expected, "{mode:?} {message}");
        assert!(ask().await.headers.contains_key("retry-after"));
        let upstream = &stats(server.admin_address()).await["upstream"];
        assert_eq!(upstream["breaker"], "open");
    }
}
