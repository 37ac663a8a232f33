//! Cancellations of what a client named twice, and of what a client leaves.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use plunge::transport::Command;
use serde_json::{Value, json};

use crate::client::{Client, Reply, modern, modern_tool, request, tool};
use crate::fixture::{
    eventually, in_flight, marker, options, processes, python, script, start, start_with,
};

fn cancelled(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

/// Has two requests with one id under way at once, cancels that id, and returns what came of them.
async fn cancelled_twice(
    server: &plunge::proxy::Server,
    session: &Client,
    messages: [Value; 2],
) -> Vec<Reply> {
    let asked = messages.map(|message| session.start(message));
    in_flight(server, 2).await;
    assert_eq!(session.post(&cancelled(7)).await.status, 202);
    let mut replies = Vec::new();
    for asked in asked {
        replies.push(asked.await.unwrap());
    }
    replies
}

#[tokio::test]
async fn an_id_that_names_two_requests_cancels_both() {
    for mode in [Mode::Shared, Mode::Stateless] {
        let (server, client) = start(mode).await;
        let session = client.begin().await;
        let hang = || tool(7, "hang", json!({}));
        for reply in cancelled_twice(&server, &session, [hang(), hang()]).await {
            assert_eq!(reply.kind(), "cancelled", "{mode:?}");
        }
        in_flight(&server, 0).await;
    }
}

#[tokio::test]
async fn a_request_that_is_cancelled_before_it_has_a_child_runs_on_none() {
    for mode in [Mode::Shared, Mode::Exclusive] {
        let options = ServeOptions {
            max_connections: Some(1),
            max_in_flight: 1,
            acquire_timeout: Duration::from_secs(5),
            ..options(script("plunge-test", &[]), mode)
        };
        let (server, client) = start_with(options).await;
        let session = client.begin().await;
        let hanging = session.hang(1);
        in_flight(&server, 1).await;
        let waiting = session.start(tool(2, "count", json!({})));
        while !waiting.is_finished() {
            session.cancel(2).await; // it may not be there yet
        }
        assert_eq!(waiting.await.unwrap().kind(), "cancelled", "{mode:?}");
        session.cancel(1).await;
        assert_eq!(hanging.await.unwrap().kind(), "cancelled");
        assert_eq!(session.call(3, "count", json!({})).await.text(), "1");
    }
}

/// Leaves the first subscription to each resource without an answer.
const FORGETS: &str = r#"
import json, sys
seen = set()
for line in sys.stdin:
    message = json.loads(line)
    number, params = message.get("id"), message.get("params") or {}
    if number is None:
        continue
    result = {}
    if message["method"] == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"resources": {"subscribe": True}},
                  "serverInfo": {"name": "forgets", "version": "1"}}
    elif message["method"] == "resources/subscribe" and params["uri"] not in seen:
        seen.add(params["uri"])
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}), flush=True)
"#;

#[tokio::test]
async fn subscriptions_with_one_id_that_are_cancelled_keep_nobody_else_from_their_resources() {
    let command = Command::new(python()).args(["-c", FORGETS]);
    let options = ServeOptions {
        max_connections: Some(1),
        ..options(command, Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let about = |uri: &str| request(7, "resources/subscribe", json!({"uri": uri}));
    for reply in cancelled_twice(&server, &one, [about("a"), about("b")]).await {
        assert_eq!(reply.kind(), "cancelled");
    }
    for uri in ["a", "b"] {
        let reply = other.post(&about(uri)).await;
        assert_eq!(reply.json()["result"], json!({}), "{uri}");
    }
}

/// Takes a request and answers nothing.
const SILENT: &str = "import sys, time\nsys.stdin.readline()\ntime.sleep(600)\n";

fn silent(mark: &str) -> ServeOptions {
    let command = Command::new(python())
        .args(["-c", SILENT, mark])
        .eof_grace(Duration::from_millis(100))
        .term_grace(Duration::from_millis(100));
    ServeOptions {
        max_connections: Some(1),
        min_idle: 0,
        ..options(command, Mode::Oneshot)
    }
}

#[tokio::test]
async fn a_client_without_a_handshake_that_leaves_ends_the_program_that_has_its_request() {
    let mark = marker("oneshot-left");
    let (server, client) = start_with(silent(&mark)).await;
    for id in 0..3 {
        let asked = client.start_modern(modern_tool(id, "any", json!({})));
        in_flight(&server, 1).await;
        asked.abort();
        eventually("its process ends", || processes(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn nobody_subscribes_with_a_program_that_answers_once() {
    let mark = marker("oneshot-listen");
    let (_server, client) = start_with(silent(&mark)).await;
    let reply = client
        .post_modern(&modern(1, "subscriptions/listen", json!({})))
        .await;
    assert_eq!(reply.json()["error"]["code"], -32601, "{reply:?}");
}
