//! What a client of `plunge forward` is told, held against what one over HTTP is told: processes for one request,
//! batches and limits, also before a server over HTTP.

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, initialize, modern, modern_tool, request, tool};
use crate::exclusive::beside_a_call;
use crate::fixture::{http_options, options, script, start_with};
use crate::forwarded::Forwarded;

async fn served(client: &mut Client, message: &Value) -> Value {
    let revision = "/params/_meta/io.modelcontextprotocol~1protocolVersion";
    let reply = match message.pointer(revision) {
        Some(_) => client.post_modern(message).await,
        None => client.post(message).await,
    };
    if let Some(session) = reply.headers.get("mcp-session-id") {
        client.session = Some(session.to_str().unwrap().to_owned());
    }
    reply.json()
}

/// Without what differs from process to process.
fn normal(mut answer: Value) -> Value {
    if let Some(version) = answer.pointer_mut("/result/serverInfo/version") {
        *version = Value::Null;
    }
    // Which of both ends of a process is seen first.
    if answer["error"]["data"]["kind"] == "child_died" {
        let text = answer["error"]["message"].take();
        assert!(!text.as_str().unwrap().contains("session"), "{text}");
    }
    answer
}

/// A proxy before a server over HTTP, which is another proxy, for each of the two.
async fn before_http(mode: Mode) -> ([ServeOptions; 2], [Server; 2]) {
    let behind = || start_with(options(script("plunge-test", &[]), Mode::Session));
    let ((one, _), (other, _)) = (behind().await, behind().await);
    let both = [&one, &other].map(|server| http_options(server.mcp_address(), mode));
    (both, [one, other])
}

#[tokio::test]
async fn processes_for_one_request_are_the_same() {
    let children = || options(script("plunge-test", &[]), Mode::Oneshot);
    let (_server, mut client) = start_with(children()).await;
    client.accept = "application/json";
    let mut forwarded = Forwarded::start(children());
    for message in [
        tool("a", "echo", json!({"b": [1, "\u{e4}"]})),
        tool(1, "count", json!({})),
        tool(2, "count", json!({})),
        tool(3, "none", json!({})),
        tool(4, "twice", json!({})),
        tool(5, "noise", json!({})),
        tool(6, "die", json!({})),
        tool(7, "ask", json!({})),
        initialize("2025-03-26"),
        request("l", "tools/list", json!({})),
        json!([tool(8, "echo", json!({}))]),
        json!([]),
        json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
        json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}),
        modern("d", "server/discover", json!({})),
        modern_tool(9, "echo", json!({})),
        modern(11, "ping", json!({})),
    ] {
        let over_http = normal(served(&mut client, &message).await);
        let over_lines = normal(forwarded.ask(&message).await);
        assert_eq!(over_http, over_lines, "{message}");
    }
    forwarded.end().await;
}

#[tokio::test]
async fn batches_and_messages_that_are_too_long_are_the_same_before_a_server_over_http() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let (both, _behind) = before_http(mode).await;
        let [one, other] = both.map(|options| ServeOptions {
            max_body_bytes: 2000,
            ..options
        });
        let (_server, mut client) = start_with(one).await;
        client.accept = "application/json";
        let mut forwarded = Forwarded::start(other);
        for message in [
            initialize("2025-03-26"),
            json!([
                tool(1, "echo", json!({"n": 1})),
                {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
                tool("1", "none", json!({}))
            ]),
            json!([]),
            json!([initialize("2025-03-26")]),
            tool(2, "echo", json!({})),
        ] {
            let over_http = normal(served(&mut client, &message).await);
            let over_lines = normal(forwarded.ask(&message).await);
            assert_eq!(over_http, over_lines, "{mode:?}: {message}");
        }
        let long = tool(3, "echo", json!({"pad": "x".repeat(4000)}));
        let over_http = served(&mut client, &long).await;
        let over_lines = forwarded.ask(&long).await;
        for answer in [over_http, over_lines] {
            assert_eq!(answer["error"]["data"]["kind"], "too_large", "{mode:?}");
        }
        let next = forwarded.ask(&tool(4, "echo", json!({}))).await;
        assert_eq!(next["id"], 4);
        forwarded.end().await;
    }
}

#[tokio::test]
async fn a_batch_is_answered_where_a_child_has_one_request_and_refused_where_it_has_one_ever() {
    let (_server, client) = start_with(options(script("plunge-test", &[]), Mode::Exclusive)).await;
    let session = client.begin_at("2025-03-26").await;
    let batch = json!([tool(1, "echo", json!({"n": 1})), tool(2, "none", json!({}))]);
    let answers = session.post(&batch).await.json();
    let ids = [&answers[0]["id"], &answers[1]["id"]];
    assert_eq!(ids, [1, 2]);
    let (_server, client) = start_with(options(script("plunge-test", &[]), Mode::Oneshot)).await;
    let refused = client.post(&batch).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (400, "bad_message")
    );
}

#[tokio::test]
async fn who_comes_beyond_the_limit_is_told_the_same_before_a_server_over_http() {
    let (both, _behind) = before_http(Mode::Shared).await;
    let [one, other] = both.map(|options| ServeOptions {
        max_connections: Some(1),
        max_in_flight: 1,
        acquire_timeout: std::time::Duration::from_millis(200),
        ..options
    });
    let (server, client) = start_with(one).await;
    let over_http = beside_a_call(&server, &client).await;
    assert_eq!(over_http.kind(), "busy");
    let mut forwarded = Forwarded::start(other);
    forwarded.ask(&initialize("2025-11-25")).await;
    let hang = tool(1, "hang", json!({})).to_string();
    forwarded.tell(&hang).await;
    // A line is taken when the request before it was given to the server.
    let over_lines = forwarded.ask(&tool(2, "echo", json!({}))).await;
    assert_eq!(over_lines, over_http.json());
    let back =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let cancelled = forwarded.ask(&back).await;
    assert_eq!(cancelled["error"]["data"]["kind"], "cancelled");
    forwarded.end().await;
}
