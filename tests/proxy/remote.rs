//! MCP servers over HTTP behind the proxy: sessions, refusals, questions, heads.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use plunge::proxy::{Mode, ServeOptions, Server, Upstream};
use serde_json::{Value, json};

use crate::client::{Client, Events, modern, modern_tool, request, tool};
use crate::connections::silent;
use crate::fixture::{eventually, http_options, start_with};
use crate::upstream::{Act, Seen, Stage, message, usual};

/// Streams come back at once.
pub fn quick(stage: &Stage, mode: Mode) -> ServeOptions {
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

pub async fn before(stage: &Stage, mode: Mode) -> (Server, Client) {
    start_with(quick(stage, mode)).await
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

/// A server that forgets its first session.
pub async fn forgetful() -> Stage {
    Stage::open(|seen| {
        let first = seen.header("mcp-session-id") == Some("s-0");
        (seen.asks() == "tools/call" && first).then(|| Act::status(404))
    })
    .await
}

#[tokio::test]
async fn a_shared_session_that_the_upstream_forgot_is_replaced_unseen() {
    let stage = forgetful().await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    for id in 0..3 {
        assert_eq!(client.call(id, "any", json!({})).await.text(), "called");
    }
    assert_eq!(stage.seen(|seen| seen.asks() == "initialize").len(), 2);
}

/// A question of the upstream instead of an answer.
fn asking() -> Act {
    let question =
        json!({"jsonrpc": "2.0", "id": "why", "method": "sampling/createMessage", "params": {}});
    Act::Stream(message(&question), false)
}

/// A call in which that question came, and the answer to it.
async fn asked(session: &Client) -> (Events, Value) {
    let mut events = session.stream(&tool(1, "ask", json!({}))).await;
    assert_eq!(events.next().await.unwrap()["id"], "why");
    let answer = json!({"jsonrpc": "2.0", "id": "why", "result": {"said": 1}});
    (events, answer)
}

#[tokio::test]
async fn a_question_of_the_upstream_reaches_the_client_and_its_answer_the_upstream() {
    let stage = Stage::open(|seen| (seen.asks() == "tools/call").then(asking)).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let (_events, answer) = asked(&session).await;
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
            // It reads the request before it looks who asks.
            "secret" => Act::Say(401, "content-type: application/json\r\nwww-authenticate: Bearer resource_metadata=\"x\"\r\nwww-authenticate: Basic", error.to_string()),
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
    let challenges = reply.headers.get_all("www-authenticate");
    assert_eq!(
        challenges.iter().collect::<Vec<_>>(),
        ["Bearer resource_metadata=\"x\"", "Basic"]
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
async fn an_upstreams_null_beside_its_result_is_no_error() {
    let stage = Stage::open(|seen| {
        let Act::Say(status, head, body) = usual(seen) else {
            return None;
        };
        let mut answer: Value = serde_json::from_str(&body).ok()?;
        answer["error"] = Value::Null;
        Some(match seen.body["params"]["name"].as_str() {
            Some("events") => Act::Stream(format!("id: a-1\nretry: 1\n{}", message(&answer)), true),
            _ => Act::Say(status, head, answer.to_string()),
        })
    })
    .await;
    for mode in [Mode::Session, Mode::Shared] {
        let (_server, client) = before(&stage, mode).await;
        let session = client.begin().await;
        for (id, name) in (1..).zip(["json", "events"]) {
            let answer = session.call(id, name, json!({})).await.json();
            assert_eq!(answer["result"]["content"][0]["text"], "called");
            assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
        }
    }
    let called = stage.seen(|seen| seen.asks() == "tools/call");
    let version = |seen: &Seen| seen.header("mcp-protocol-version") == Some("2025-11-25");
    assert!(called.iter().all(version), "the greeting was read");
}

/// A server of the revision without sessions, which answers calls so.
async fn without_sessions(answer: fn(&Seen) -> Value) -> Stage {
    Stage::open(move |seen| {
        Some(match seen.asks() {
            "server/discover" => seen.discovered(json!({"tools": {}})),
            "tools/call" => Act::json(answer(seen)),
            _ => return None,
        })
    })
    .await
}

#[tokio::test]
async fn clients_without_sessions_reach_an_upstream_without_them_with_the_heads_that_it_asks_for() {
    let stage = without_sessions(|seen| {
        let text = json!([{"type": "text", "text": "called"}]);
        seen.result(json!({"resultType": "complete", "content": text}))
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
async fn an_error_is_an_event_for_a_client_that_takes_nothing_else() {
    let stage = without_sessions(|seen| {
        let error = json!({"code": -32000, "message": "not today"});
        json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error})
    })
    .await;
    let (_server, mut client) = before(&stage, Mode::Stateless).await;
    client.accept = "text/event-stream";
    let mut events = client
        .stream_modern(&modern_tool(1, "any", json!({})))
        .await;
    assert_eq!(events.next().await.unwrap()["error"]["code"], -32000);
}

#[tokio::test]
async fn heads_of_arguments_go_on_as_they_came_where_the_tool_is_not_known() {
    let stage =
        without_sessions(|seen| seen.result(json!({"resultType": "complete", "content": []})))
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

#[tokio::test]
async fn an_answer_to_a_question_that_was_not_taken_may_be_sent_again() {
    let tried = std::sync::atomic::AtomicUsize::new(0);
    let stage = Stage::open(move |seen| {
        let is_answer = seen.body["id"] == "why";
        match seen.asks() {
            "tools/call" => Some(asking()),
            _ if is_answer && tried.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
                Some(Act::status(503))
            }
            _ => None,
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let (_events, answer) = asked(&session).await;
    assert_eq!(session.post(&answer).await.status, 502);
    assert_eq!(session.post(&answer).await.status, 202);
    assert_eq!(stage.seen(|seen| seen.body == answer).len(), 2);
    assert_eq!(session.post(&answer).await.status, 202, "it is late");
    assert_eq!(stage.seen(|seen| seen.body == answer).len(), 2);
}

#[tokio::test]
async fn a_batch_is_answered_though_a_notification_in_it_was_refused() {
    let refused = |seen: &Seen| seen.asks() == "notifications/refused";
    let stage = Stage::open(move |seen| refused(seen).then(|| Act::status(400))).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin_at("2025-03-26").await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/refused"});
    let call = |id: u32| tool(id, "any", json!({}));
    let reply = session.post(&json!([note, call(1), note, call(2)])).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answers = reply.json();
    assert_eq!(
        (&answers[0]["id"], &answers[1]["id"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(stage.seen(refused).len(), 2);
    let alone = session.post(&json!([note])).await;
    assert_eq!(
        (alone.status.as_u16(), alone.kind().as_str()),
        (400, "upstream_refused")
    );
}

#[tokio::test]
async fn subscriptions_have_a_bound_and_leave_calls_their_connections() {
    let stage = silent().await;
    let options = ServeOptions {
        max_connections: Some(1024), // two subscriptions for each
        max_in_flight: 1,
        ..quick(&stage, Mode::Stateless)
    };
    let (_server, client) = start_with(options).await;
    let listen = |id: u32| modern(id, "subscriptions/listen", json!({"notifications": {}}));
    let mut open = Vec::new();
    for id in 0..2 {
        let mut events = client.stream_modern(&listen(id)).await;
        assert!(events.next().await.unwrap()["method"].is_string());
        open.push(events);
    }
    let refused = client.post_modern(&listen(2)).await;
    assert!(refused.is_busy(), "{refused:?}");
    let served = client.post_modern(&modern_tool(3, "any", json!({}))).await;
    assert_eq!(served.text(), "called");
}
