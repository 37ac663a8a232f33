//! `session` mode: one child a session, its bytes as they are.

use hyper::Method;
use plunge::proxy::Mode;
use serde_json::json;

use crate::client::{initialize, request, tool};
use crate::fixture::{
    eventually, in_flight, marker, options, processes, script, start, start_with,
};

#[tokio::test]
async fn two_clients_have_two_children_and_two_states() {
    let (_server, client) = start(Mode::Session).await;
    let (one, other) = (client.begin().await, client.begin().await);
    assert_ne!(one.session, other.session);
    let pids = (
        one.call(1, "pid", json!({})).await.text(),
        other.call(1, "pid", json!({})).await.text(),
    );
    assert_ne!(pids.0, pids.1);
    one.call(2, "count", json!({})).await;
    assert_eq!(one.call(3, "count", json!({})).await.text(), "2");
    assert_eq!(other.call(3, "count", json!({})).await.text(), "1");
}

#[tokio::test]
async fn the_clients_own_initialize_reaches_the_child() {
    let (_server, client) = start(Mode::Session).await;
    let reply = client.post(&initialize("2024-11-05")).await;
    let json = reply.json();
    assert_eq!(json["id"], 0);
    assert_eq!(json["result"]["offered"], json!({"sampling": {}}));
    assert_eq!(json["result"]["protocolVersion"], "2024-11-05");
    let id = reply.headers["mcp-session-id"].to_str().unwrap();
    assert!(id.len() >= 32 && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
}

#[tokio::test]
async fn a_refused_initialize_is_passed_on_and_begins_no_session() {
    let mark = marker("refused");
    let (_server, client) = start_with(options(script(&mark, &["refuse"]), Mode::Session)).await;
    let reply = client.post(&initialize("2025-11-25")).await;
    assert_eq!(reply.json()["error"]["message"], "not today");
    assert!(!reply.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn bytes_pass_as_they_are_but_for_line_ends() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let body = "{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": \"\\u0061-1\",\n  \"method\": \"custom/thing\",\n  \"params\": {\"big\": 12345678901234567890, \"text\": \"a\\nb\"}\n}\n";
    let reply = session.send(Method::POST, body).await;
    let json = reply.json();
    assert_eq!(json["id"], "a-1");
    assert_eq!(json["result"]["params"]["text"], "a\nb");
    assert!(String::from_utf8_lossy(&reply.body).contains("12345678901234567890"));
}

#[tokio::test]
async fn ids_keep_their_type_and_equal_ids_of_both_types_are_apart() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let (number, text) = tokio::join!(
        session.call(1, "echo", json!({"n": 1})),
        session.call("1", "echo", json!({"n": 2}))
    );
    assert_eq!(
        (number.json()["id"].clone(), number.text()),
        (json!(1), "{\"n\": 1}".to_owned())
    );
    assert_eq!(
        (text.json()["id"].clone(), text.text()),
        (json!("1"), "{\"n\": 2}".to_owned())
    );
}

#[tokio::test]
async fn an_id_in_flight_is_refused_in_its_session_only() {
    let (server, client) = start(Mode::Session).await;
    let (session, other) = (client.begin().await, client.begin().await);
    let slow = session.start(tool(7, "sleep", json!({"ms": 400})));
    in_flight(&server, 1).await;
    let refused = session.call(7, "echo", json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (400, "bad_message")
    );
    assert_eq!(other.call(7, "echo", json!({})).await.status, 200);
    assert_eq!(slow.await.unwrap().text(), "slept");
}

#[tokio::test]
async fn a_deleted_session_is_unknown_and_its_child_is_gone() {
    let mark = marker("deleted");
    let (_server, client) = start_with(options(script(&mark, &[]), Mode::Session)).await;
    let session = client.begin().await;
    let pid: u32 = session
        .call(1, "pid", json!({}))
        .await
        .text()
        .parse()
        .unwrap();
    assert_eq!(session.send(Method::DELETE, "").await.status, 200);
    assert_eq!(session.call(2, "pid", json!({})).await.status, 404);
    assert_eq!(session.send(Method::DELETE, "").await.status, 404);
    assert_eq!(session.listen().await.status, 404);
    eventually("the session's child is gone", || {
        !processes(&mark).contains(&pid)
    })
    .await;
}

#[tokio::test]
async fn a_session_end_is_told_to_its_waiting_requests() {
    let (server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut stream = session.listen().await;
    let waiting = session.hang(1);
    in_flight(&server, 1).await;
    session.send(Method::DELETE, "").await;
    assert_eq!(waiting.await.unwrap().kind(), "session_ended");
    assert!(stream.next().await.is_some(), "what the child said before");
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_and_its_child_too() {
    let mark = marker("idle");
    let mut options = options(script(&mark, &[]), Mode::Session);
    options.session_idle = std::time::Duration::from_millis(50);
    options.min_idle = 0;
    let (_server, client) = start_with(options).await;
    let session = client.begin().await;
    eventually("every child is gone", || processes(&mark).is_empty()).await;
    assert_eq!(session.call(1, "pid", json!({})).await.status, 404);
}

#[tokio::test]
async fn a_cancelled_request_ends_and_the_child_is_told_by_the_relayed_message() {
    let (server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let waiting = session.hang(1);
    in_flight(&server, 1).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}});
    assert_eq!(session.post(&cancel).await.status, 202);
    let reply = waiting.await.unwrap();
    assert_eq!(
        (reply.kind().as_str(), reply.json()["id"].as_i64()),
        ("cancelled", Some(1))
    );
    let told = session.call(3, "cancelled", json!({})).await.text();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told, json!([{"requestId": 1, "reason": "enough"}]));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing() {
    let (server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let waiting = session.start(tool(1, "late", json!({"ms": 100})));
    in_flight(&server, 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(session.call(2, "cancelled", json!({})).await.text(), "[]");
    assert_eq!(
        session.post(&request(1, "ping", json!({}))).await.status,
        200,
        "the id is free again"
    );
}

#[tokio::test]
async fn a_request_without_a_free_child_is_told_to_come_back() {
    let mut options = options(script("plunge-test", &[]), Mode::Session);
    options.max_connections = Some(1);
    options.min_idle = 0;
    options.acquire_timeout = std::time::Duration::from_millis(100);
    let (_server, client) = start_with(options).await;
    let session = client.begin().await;
    let refused = client.post(&initialize("2025-11-25")).await;
    assert!(refused.is_busy(), "{refused:?}");
    session.send(Method::DELETE, "").await;
    let begun = std::time::Instant::now();
    while client.post(&initialize("2025-11-25")).await.status != 200 {
        assert!(
            begun.elapsed() < crate::fixture::PATIENCE,
            "it comes back in vain"
        );
    }
}

#[tokio::test]
async fn children_wait_for_sessions_to_come_and_are_replaced_when_taken() {
    let mark = marker("waiting");
    let mut options = options(script(&mark, &[]), Mode::Session);
    (options.min_idle, options.max_connections) = (2, Some(4));
    let (_server, client) = start_with(options).await;
    eventually("two wait", || processes(&mark).len() == 2).await;
    let session = client.begin().await;
    eventually("two wait beside the session's own", || {
        processes(&mark).len() == 3
    })
    .await;
    let (_second, _third) = (client.begin().await, client.begin().await);
    eventually("the limit holds", || processes(&mark).len() == 4).await;
    session.send(Method::DELETE, "").await;
    client.begin().await;
}
