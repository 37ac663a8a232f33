//! What children write beside answers, and answers that are long, late or doubled: survived and counted.

use std::time::Duration;

use plunge::proxy::{Mode, Server};
use serde_json::{Value, json};

use crate::client::Client;
use crate::fixture::{PATIENCE, options, script, start, start_with, stats};

/// What the only child's figures say under this pointer.
async fn figure(server: &Server, pointer: &str) -> Value {
    let figures = stats(server.admin_address()).await;
    let found = figures["children"][0].pointer(pointer);
    found
        .unwrap_or_else(|| panic!("{pointer}: {figures}"))
        .clone()
}

async fn reaches(server: &Server, pointer: &str, count: u64) {
    let begun = std::time::Instant::now();
    while figure(server, pointer).await.as_u64().unwrap() < count {
        assert!(begun.elapsed() < PATIENCE, "{pointer} below {count}");
    }
}

/// A session, or a client of the one shared child.
async fn front(mode: Mode) -> (Server, Client) {
    let mut options = options(script("plunge-test", &[]), mode);
    options.max_connections = Some(if mode == Mode::Shared { 1 } else { 4 });
    let (server, client) = start_with(options).await;
    let client = client.begin().await;
    (server, client)
}

#[tokio::test]
async fn answers_of_sixteen_megabytes_pass_whole() {
    for mode in [Mode::Session, Mode::Shared] {
        let (server, client) = front(mode).await;
        let bytes = (16 << 20) - 1000;
        for id in 0..2 {
            let reply = client.call(id, "big", json!({"bytes": bytes})).await;
            assert_eq!(reply.text().len(), bytes, "{mode:?}");
        }
        assert_eq!(figure(&server, "/wrote/too_long").await, 0);
    }
}

#[tokio::test]
async fn a_longer_one_is_a_typed_error_and_costs_its_child_alone() {
    for mode in [Mode::Session, Mode::Shared] {
        let (_server, client) = front(mode).await;
        let reply = client.call(1, "big", json!({"bytes": 17 << 20})).await;
        assert_eq!(reply.kind(), "child_died", "{mode:?}");
        assert!(
            reply.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("longer than the limit")
        );
        let other = Client {
            session: None,
            ..client
        };
        assert_eq!(
            other.begin().await.call(2, "echo", json!({})).await.text(),
            "{}"
        );
    }
}

#[tokio::test]
async fn noise_is_counted_by_kind_and_answers_go_on() {
    for mode in [Mode::Session, Mode::Shared] {
        let (server, client) = front(mode).await;
        for id in 0..10 {
            assert_eq!(client.call(id, "noise", json!({})).await.text(), "survived");
        }
        assert_eq!(figure(&server, "/wrote/invalid_utf8").await, 10, "{mode:?}");
        assert_eq!(figure(&server, "/wrote/not_json").await, 30);
        // The same, a piece of JSON, an array and an answer that nobody asked for.
        assert!(figure(&server, "/dropped_lines").await.as_u64().unwrap() >= 60);
    }
}

#[tokio::test]
async fn what_served_nobody_is_counted_beyond_the_end_of_its_child() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let (server, client) = front(mode).await;
        client.call(1, "noise", json!({})).await;
        let dying = client.call(2, "die", json!({})).await;
        assert_eq!(dying.kind(), "child_died", "{mode:?}");
        let strays = stats(server.admin_address()).await["strays"].clone();
        let counts = ["no_message", "invalid_utf8", "unasked_answer"].map(|kind| &strays[kind]);
        assert_eq!(counts, [6, 1, 1], "{mode:?}");
        assert!(strays["dropped"].as_u64().unwrap() >= 7, "{mode:?}");
    }
}

#[tokio::test]
async fn what_a_child_says_before_anybody_used_it_is_counted() {
    let line = "echo a banner; exec sleep 600";
    let command = plunge::transport::Command::new("sh").args(["-c", line]);
    let server = Server::start(options(command, Mode::Session))
        .await
        .unwrap();
    let begun = std::time::Instant::now();
    while stats(server.admin_address()).await["strays"]["no_message"] == 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn an_answer_with_bytes_that_are_no_utf8_arrives_without_them() {
    for mode in [
        Mode::Session,
        Mode::Shared,
        Mode::Exclusive,
        Mode::Stateless,
    ] {
        let (server, client) = front(mode).await;
        let reply = client.call(1, "latin", json!({})).await;
        assert_eq!(reply.text(), "caf\u{fffd}", "{mode:?}");
        if mode != Mode::Exclusive {
            assert_eq!(figure(&server, "/wrote/invalid_utf8").await, 1, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn second_answers_and_late_ones_are_dropped_and_counted() {
    for mode in [Mode::Session, Mode::Shared] {
        let mut options = options(script("plunge-test", &[]), mode);
        options.max_connections = Some(2);
        options.request_timeout = Duration::from_millis(400);
        let (server, client) = start_with(options).await;
        let client = client.begin().await;
        let before = figure(&server, "/dropped_lines").await.as_u64().unwrap();
        assert_eq!(client.call(1, "twice", json!({})).await.text(), "first");
        reaches(&server, "/dropped_lines", before + 1).await;
        let late = client.call(2, "late", json!({"ms": 700})).await;
        assert_eq!(late.kind(), "timed_out", "{mode:?}");
        reaches(&server, "/dropped_lines", before + 2).await;
        // The id of the late answer is free again, and its answer is its own.
        assert_eq!(
            client.call(2, "echo", json!({"mine": 1})).await.text(),
            "{\"mine\": 1}"
        );
    }
}

#[tokio::test]
async fn a_flood_on_standard_error_is_drained_and_counted() {
    let (server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    assert_eq!(
        session
            .call(1, "stderr", json!({"lines": 200_000}))
            .await
            .text(),
        "said"
    );
    reaches(&server, "/wrote/stderr_lines", 200_000).await;
    assert_eq!(session.call(2, "echo", json!({})).await.text(), "{}");
}
