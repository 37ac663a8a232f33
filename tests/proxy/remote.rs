//! MCP servers over HTTP behind the proxy: sessions, streams that break, refusals, questions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use plunge::proxy::{Mode, ServeOptions, Server, Upstream};
use serde_json::{Value, json};

use crate::client::{Client, modern, modern_tool, request, tool};
use crate::fixture::{eventually, http_options, in_flight, start_with};
use crate::upstream::{Act, Seen, Stage, usual};

/// Streams come back at once.
fn quick(stage: &Stage, mode: Mode) -> ServeOptions {
    let mut options = http_options(stage.address, mode);
    if let Upstream::Http(upstream) = &mut options.upstream {
        upstream.reconnect.base = Duration::from_millis(2);
        upstream.reconnect.spread = Duration::from_millis(2);
        upstream
            .headers
            .push(("authorization".into(), "Bearer of".into()));
    }
    options
}

async fn before(stage: &Stage, mode: Mode) -> (Server, Client) {
    start_with(quick(stage, mode)).await
}

fn message(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn log(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": text}})
}

#[tokio::test]
async fn a_clients_session_is_one_with_the_upstream_and_ends_there_too() {
    let stage = Stage::open(|_| None).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let (one, other) = (client.begin().await, client.begin_at("2025-06-18").await);
    assert_eq!(one.call(1, "any", json!({})).await.text(), "called");
    assert_eq!(other.call(1, "any", json!({})).await.text(), "called");
    let begun = stage.seen(|seen| seen.asks() == "initialize");
    assert_eq!(begun.len(), 2);
    assert!(
        begun
            .iter()
            .all(|seen| seen.header("mcp-session-id").is_none())
    );
    let called = stage.seen(|seen| seen.asks() == "tools/call");
    let sessions: Vec<_> = called
        .iter()
        .map(|seen| seen.header("mcp-session-id").unwrap())
        .collect();
    assert_ne!(sessions[0], sessions[1]);
    let versions = called
        .iter()
        .map(|seen| seen.header("mcp-protocol-version").unwrap());
    assert_eq!(versions.collect::<Vec<_>>(), ["2025-11-25", "2025-06-18"]);
    assert!(
        called
            .iter()
            .all(|seen| seen.header("authorization") == Some("Bearer of"))
    );
    assert_eq!(one.send(Method::DELETE, Bytes::new()).await.status, 200);
    let ended = |seen: &Seen| seen.method == "DELETE";
    eventually("the end of the upstream's session", || {
        !stage.seen(ended).is_empty()
    })
    .await;
    assert_eq!(
        stage.seen(ended)[0].header("mcp-session-id"),
        Some(sessions[0])
    );
    assert_eq!(one.call(2, "any", json!({})).await.status, 404);
    assert_eq!(other.call(2, "any", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_session_that_the_upstream_forgot_is_404_here_for_every_message() {
    let stage = Stage::open(|seen| (seen.asks() == "tools/call").then(|| Act::status(404))).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let reply = session.call(1, "any", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (404, "session_ended")
    );
    assert_eq!(
        session.post(&request(2, "ping", json!({}))).await.status,
        404
    );
    let again = client.begin().await;
    assert_eq!(again.post(&request(2, "ping", json!({}))).await.status, 200);
}

#[tokio::test]
async fn a_shared_session_that_the_upstream_forgot_is_replaced_unseen() {
    let stage = Stage::open(|seen| {
        let first = seen.header("mcp-session-id") == Some("s-0");
        (seen.asks() == "tools/call" && first).then(|| Act::status(404))
    })
    .await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    for id in 0..3 {
        assert_eq!(client.call(id, "any", json!({})).await.text(), "called");
    }
    assert_eq!(stage.seen(|seen| seen.asks() == "initialize").len(), 2);
}

#[tokio::test]
async fn an_answer_whose_stream_broke_goes_on_behind_its_last_event() {
    let stage = Stage::open(|seen| {
        match (
            seen.method.as_str(),
            seen.asks(),
            seen.header("last-event-id"),
        ) {
            ("POST", "tools/call", _) => Some(Act::Stream(
                format!("retry: 1\nid: a-1\n{}", message(&log("first"))),
                true,
            )),
            ("GET", _, Some("a-1")) if seen.nth == 2 => Some(Act::status(503)),
            ("GET", _, Some("a-1")) => {
                let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
                let events = [
                    format!("id: a-1\n{}", message(&log("first"))),
                    format!("id: a-2\n{}", message(&log("second"))),
                    format!("id: a-3\n{}", message(&answer)),
                ];
                Some(Act::Stream(events.concat(), true))
            }
            _ => None,
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    // The session's own stream was refused: what has an id is the request's.
    let own = |seen: &Seen| seen.method == "GET" && seen.header("last-event-id").is_none();
    eventually("its own stream was asked for", || {
        stage.seen(own).len() == 1
    })
    .await;
    let mut events = session.stream(&tool(7, "any", json!({}))).await;
    let mut said = Vec::new();
    while let Some(message) = events.next().await {
        said.push(message);
    }
    assert_eq!(said[..2], [log("first"), log("second")]);
    assert_eq!((said.len(), &said[2]["id"]), (3, &json!(7)));
    assert_eq!(
        stage.seen(|seen| seen.asks() == "tools/call").len(),
        1,
        "asked once"
    );
}

#[tokio::test]
async fn a_call_whose_stream_broke_into_a_session_that_is_forgotten_ends_at_once() {
    let stage = Stage::open(|seen| {
        if seen.header("mcp-session-id") != Some("s-0") {
            return None;
        }
        match (seen.method.as_str(), seen.asks()) {
            ("POST", "tools/call") => {
                Some(Act::Stream("retry: 1\nid: a-1\ndata:\n\n".into(), true))
            }
            ("GET", _) if seen.header("last-event-id").is_some() => Some(Act::status(404)),
            _ => None,
        }
    })
    .await;
    let (server, client) = before(&stage, Mode::Shared).await;
    let call = client.call(1, "any", json!({}));
    let reply = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert_eq!(reply.expect("it is told").kind(), "child_died");
    assert_eq!(client.call(2, "any", json!({})).await.text(), "called");
    in_flight(&server, 0).await;
}

#[tokio::test]
async fn a_stream_without_ids_that_broke_is_a_typed_error_and_the_session_goes_on() {
    let stage = Stage::open(|seen| {
        let breaks = seen.body["params"]["name"] == "break";
        breaks.then(|| Act::Stream(message(&log("first")), true))
    })
    .await;
    let (_server, mut client) = before(&stage, Mode::Session).await;
    client.accept = "application/json";
    let session = client.begin().await;
    let reply = session.call(1, "break", json!({})).await;
    assert_eq!(reply.kind(), "child_died");
    assert_eq!(session.call(2, "any", json!({})).await.text(), "called");
}

#[tokio::test]
async fn the_sessions_own_stream_comes_back_and_brings_each_message_once() {
    let stage = Stage::open(|seen| {
        if seen.method != "GET" {
            return None;
        }
        Some(match seen.nth {
            0 => Act::status(503),
            1 => Act::Stream(format!("retry: 1\nid: 1\n{}", message(&log("1"))), true),
            2 => Act::Drop,
            3 => Act::status(500),
            4 => Act::Stream(
                format!(
                    "id: 2\n{}: comment\n\nid: 3\n{}",
                    message(&log("2")),
                    message(&log("3"))
                ),
                true,
            ),
            _ => Act::Stream(String::new(), false),
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.listen().await;
    for text in ["1", "2", "3"] {
        assert_eq!(events.next().await.unwrap(), log(text));
    }
    let asked = |seen: &Seen| seen.method == "GET";
    eventually("it stands", || stage.seen(asked).len() == 6).await;
    let behind: Vec<_> = stage
        .seen(asked)
        .iter()
        .map(|seen| seen.header("last-event-id").map(str::to_owned))
        .collect();
    let wanted = [None, None, Some("1"), Some("1"), Some("1"), Some("3")];
    assert_eq!(behind, wanted.map(|id| id.map(str::to_owned)));
}

#[tokio::test]
async fn a_question_of_the_upstream_reaches_the_client_and_its_answer_the_upstream() {
    let stage = Stage::open(|seen| {
        let asks = seen.asks() == "tools/call";
        let question = json!({"jsonrpc": "2.0", "id": "why", "method": "sampling/createMessage", "params": {}});
        asks.then(|| Act::Stream(message(&question), false))
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.stream(&tool(1, "ask", json!({}))).await;
    assert_eq!(events.next().await.unwrap()["id"], "why");
    let answer = json!({"jsonrpc": "2.0", "id": "why", "result": {"said": 1}});
    assert_eq!(session.post(&answer).await.status, 202);
    let answered = stage.seen(|seen| seen.body == answer);
    assert_eq!(answered.len(), 1);
    assert!(answered[0].header("mcp-session-id").is_some());
}

#[tokio::test]
async fn refusals_of_the_upstream_go_on_with_their_status_and_its_trouble_is_502() {
    let stage = Stage::open(|seen| {
        let error = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": {"code": -32602, "message": "wrong"}});
        Some(match seen.body["params"]["name"].as_str()? {
            "secret" => Act::Say(401, "www-authenticate: Bearer resource_metadata=\"x\"", String::new()),
            "wrong" => Act::Say(400, "content-type: application/json", error.to_string()),
            "late" => Act::Say(429, "retry-after: 7", "slow down".into()),
            "trouble" => Act::Say(503, "retry-after: 9", "no database".into()),
            "page" => Act::Say(200, "content-type: text/html", "<html>".into()),
            "gone" => Act::Drop,
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let call = async |name: &str| session.call(1, name, json!({})).await;
    let reply = call("secret").await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (401, "upstream_refused")
    );
    assert_eq!(
        reply.headers["www-authenticate"],
        "Bearer resource_metadata=\"x\""
    );
    let reply = call("wrong").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]["message"]),
        (200, &json!("wrong"))
    );
    let reply = call("late").await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let reply = call("trouble").await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (502, "upstream_failed")
    );
    assert_eq!(reply.headers["retry-after"], "9");
    assert!(
        reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no database")
    );
    assert_eq!(call("page").await.kind(), "upstream_failed");
    assert_eq!(call("gone").await.kind(), "child_died");
    assert_eq!(call("any").await.text(), "called");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_typed_refusal_until_it_is_up() {
    let stage = Stage::open(|_| None).await;
    let options = quick(&stage, Mode::Shared);
    let address = stage.address;
    drop(stage);
    let (_server, client) = start_with(options).await;
    let reply = client.call(1, "any", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (503, "no_child")
    );
    let stage = Stage::open_at(address, |seen| Some(usual(seen))).await;
    let begun = std::time::Instant::now();
    while client.call(2, "any", json!({})).await.status != 200 {
        assert!(begun.elapsed() < crate::fixture::PATIENCE);
    }
    drop(stage);
}

#[tokio::test]
async fn an_upstream_that_says_nothing_keeps_no_connection_of_a_call_that_timed_out() {
    let stage = Stage::open(|seen| {
        let hangs = matches!(seen.asks(), "tools/call" | "notifications/cancelled");
        hangs.then_some(Act::Silence)
    })
    .await;
    let mut options = quick(&stage, Mode::Session);
    options.response_timeout = Duration::from_millis(100);
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    for id in 0..2 {
        let reply = session.call(id, "any", json!({})).await;
        assert_eq!(reply.kind(), "timed_out");
    }
    assert_eq!(stage.seen(|seen| seen.asks() == "tools/call").len(), 2);
    let begun = std::time::Instant::now();
    loop {
        let figures = crate::fixture::stats(server.admin_address()).await;
        if figures["connections_upstream"]["leased"] == 0 {
            break;
        }
        assert!(begun.elapsed() < crate::fixture::PATIENCE, "{figures}");
    }
}

#[tokio::test]
async fn clients_without_sessions_reach_an_upstream_without_them_with_the_heads_that_it_asks_for() {
    let stage = Stage::open(|seen| {
        Some(match seen.asks() {
            "server/discover" => Act::json(seen.result(json!({"resultType": "complete",
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}))),
            "tools/call" => Act::json(seen.result(json!({"resultType": "complete",
                "content": [{"type": "text", "text": "called"}]}))),
            _ => return None,
        })
    })
    .await;
    for mode in [Mode::Session, Mode::Stateless] {
        let (_server, client) = before(&stage, mode).await;
        let reply = client
            .post_modern(&modern_tool("x", "green", json!({})))
            .await;
        assert_eq!(
            (reply.text(), &reply.json()["id"]),
            ("called".into(), &json!("x"))
        );
    }
    let called = stage.seen(|seen| seen.asks() == "tools/call");
    assert_eq!(called.len(), 2);
    for seen in called {
        assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(seen.header("mcp-method"), Some("tools/call"));
        assert_eq!(seen.header("mcp-name"), Some("green"));
        assert_eq!(seen.header("mcp-session-id"), None);
    }
    assert!(
        stage
            .seen(|seen| seen.asks() == "initialize" || seen.method != "POST")
            .is_empty()
    );
}

#[tokio::test]
async fn a_subscription_whose_stream_broke_is_asked_for_again_and_all_of_it_told_once() {
    const TAG: &str = "io.modelcontextprotocol/subscriptionId";
    let asked = AtomicUsize::new(0);
    let stage = Stage::open(move |seen| {
        let tag = json!({TAG: seen.body["id"]});
        let tell = |method: &str, params: Value| {
            message(&json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params}))
        };
        let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
        let acknowledged = tell(
            "subscriptions/acknowledged",
            json!({"_meta": tag, "notifications": agreed}),
        );
        let listens = seen.asks() == "subscriptions/listen";
        let nth = asked.fetch_add(usize::from(listens), Ordering::Relaxed);
        Some(match (seen.asks(), nth) {
            ("server/discover", _) => Act::json(seen.result(json!({"resultType": "complete",
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}))),
            ("subscriptions/listen", nth) if nth < 2 => {
                let change = tell("tools/list_changed", json!({"_meta": tag, "nth": nth}));
                Act::Stream(format!("{acknowledged}{change}"), true)
            }
            ("subscriptions/listen", 2) => Act::status(503),
            ("subscriptions/listen", _) => {
                let end = message(&seen.result(json!({"resultType": "complete"})));
                Act::Stream(format!("{acknowledged}{end}"), false)
            }
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Stateless).await;
    let wants =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}});
    let listen = modern("mine", "subscriptions/listen", wants);
    let mut events = client.stream_modern(&listen).await;
    let mut told = Vec::new();
    let end = loop {
        let event = events.next().await.unwrap();
        let Some(method) = event["method"].as_str() else {
            break event;
        };
        assert_eq!(event["params"]["_meta"][TAG], "mine");
        told.push(method.trim_start_matches("notifications/").to_owned());
    };
    assert_eq!(end["id"], "mine");
    let (changed, updated) = ("tools/list_changed", "resources/updated");
    let again = [changed, updated];
    let expected = ["subscriptions/acknowledged", changed];
    let expected = [&expected[..], &again, &[changed], &again].concat();
    assert_eq!(told, expected);
}

/// A call of each of so many clients, all of which the upstream has.
async fn under_way(
    client: &Client,
    stage: &Stage,
    count: u32,
) -> tokio::task::JoinSet<crate::client::Reply> {
    let mut calls = tokio::task::JoinSet::new();
    for id in 0..count {
        let client = client.clone();
        calls.spawn(async move { client.call(id, "wait", json!({})).await });
    }
    let waits = |seen: &Seen| seen.body["params"]["name"] == "wait";
    eventually("all are under way", || {
        stage.seen(waits).len() >= count as usize
    })
    .await;
    calls
}

#[tokio::test]
async fn an_upstream_that_goes_under_many_calls_and_is_back_at_once_is_one_failure() {
    let waits = |seen: &Seen| (seen.body["params"]["name"] == "wait").then_some(Act::Silence);
    let stage = Stage::open(waits).await;
    let mut options = quick(&stage, Mode::Shared);
    options.breaker.failures = 3;
    let (server, client) = start_with(options).await;
    for _ in 0..4 {
        let calls = under_way(&client, &stage, 16).await;
        stage.cut();
        for reply in calls.join_all().await {
            assert_eq!(reply.kind(), "child_died");
        }
        assert_eq!(client.call(99, "any", json!({})).await.text(), "called");
        stage.forget();
    }
    let figures = crate::fixture::stats(server.admin_address()).await;
    assert_eq!(figures["upstream"]["times_opened"], 0, "{figures}");
}

#[tokio::test]
async fn a_call_that_finds_an_upstream_restarting_waits_for_it() {
    for mode in [Mode::Shared, Mode::Session] {
        let stage = Stage::open(|_| None).await;
        let (server, client) = before(&stage, mode).await;
        let client = client.begin().await;
        assert_eq!(client.call(1, "any", json!({})).await.text(), "called");
        let address = stage.address;
        drop(stage);
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.call(2, "any", json!({})).await }
        });
        // It was refused a connection at least once.
        let figures = async || crate::fixture::stats(server.admin_address()).await;
        while figures().await["connections_upstream"]["connect_failures"] == 0 {}
        let _stage = Stage::open_at(address, |_| None).await;
        assert_eq!(call.await.unwrap().text(), "called", "{mode:?}");
    }
}

#[tokio::test]
async fn a_session_that_the_upstream_forgot_under_many_calls_costs_none_of_them() {
    let asked = AtomicUsize::new(0);
    let stage = Stage::open(move |seen| {
        if seen.asks() != "tools/call" || seen.header("mcp-session-id") != Some("s-0") {
            return None;
        }
        // One after the other learns it.
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(nth as u64 % 4));
        Some(Act::status(404))
    })
    .await;
    let (server, client) = before(&stage, Mode::Shared).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 0..16 {
        let client = client.clone();
        calls.spawn(async move { client.call(id, "any", json!({})).await });
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.json()["error"], Value::Null, "{reply:?}");
    }
    let figures = crate::fixture::stats(server.admin_address()).await;
    assert_eq!(figures["upstream"]["times_opened"], 0);
}

#[tokio::test]
async fn sessions_that_an_upstream_forgot_under_long_calls_keep_no_new_one_away() {
    let asked = AtomicUsize::new(0);
    let stage = Stage::open(move |seen| match seen.body["params"]["name"].as_str() {
        Some("hold") => Some(Act::Silence),
        // Each first time, and not where it is sent again.
        Some("forget") => asked
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(2)
            .then(|| Act::status(404)),
        _ => None,
    })
    .await;
    let options = ServeOptions {
        max_connections: Some(1),
        connect_timeout: Duration::from_secs(2),
        ..quick(&stage, Mode::Shared)
    };
    let (_server, client) = start_with(options).await;
    let mut held = Vec::new();
    for nth in 1..=3 {
        let holder = client.clone();
        held.push(tokio::spawn(async move {
            holder.call(1, "hold", json!({})).await
        }));
        let holds = |seen: &Seen| seen.body["params"]["name"] == "hold";
        eventually("it is under way", || stage.seen(holds).len() == nth).await;
        assert_eq!(client.call(2, "forget", json!({})).await.text(), "called");
    }
    let oldest = held.remove(0).await.unwrap();
    assert_eq!(oldest.kind(), "child_died", "it made room");
    assert!(!held.last().unwrap().is_finished());
    held.iter().for_each(|held| held.abort());
}

#[tokio::test]
async fn events_without_an_id_behind_one_that_comes_again_are_passed_on() {
    let stage = Stage::open(|seen| {
        let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
        match (seen.asks(), seen.header("last-event-id")) {
            ("tools/call", _) => Some(Act::Stream(
                format!("retry: 1\nid: a-1\n{}", message(&log("first"))),
                true,
            )),
            (_, Some("a-1")) => {
                let events = [
                    format!("id: a-1\n{}", message(&log("first"))),
                    message(&log("second")),
                    message(&log("third")),
                    message(&answer),
                ];
                Some(Act::Stream(events.concat(), true))
            }
            _ => None,
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.stream(&tool(7, "any", json!({}))).await;
    for text in ["first", "second", "third"] {
        assert_eq!(events.next().await.unwrap(), log(text));
    }
    assert_eq!(events.next().await.unwrap()["id"], 7);
}

#[tokio::test]
async fn heads_of_arguments_go_on_as_they_came_where_the_tool_is_not_known() {
    let stage = Stage::open(|seen| {
        Some(match seen.asks() {
            "server/discover" => Act::json(seen.result(json!({"resultType": "complete",
                "supportedVersions": ["2026-07-28"], "capabilities": {}}))),
            "tools/call" => {
                Act::json(seen.result(json!({"resultType": "complete", "content": []})))
            }
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Stateless).await;
    let client = client
        .with("mcp-param-region", "us")
        .with("authorization", "Bearer for the proxy alone")
        .with("x-other", "stays here");
    let call = modern_tool(1, "unlisted", json!({"region": "us"}));
    assert_eq!(client.post_modern(&call).await.status, 200);
    let called = &stage.seen(|seen| seen.asks() == "tools/call")[0];
    assert_eq!(called.header("mcp-param-region"), Some("us"));
    assert_eq!(called.header("x-other"), None);
    assert_eq!(called.header("authorization"), Some("Bearer of"), "its own");
}
