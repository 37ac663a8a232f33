//! Event streams: what goes with a request, what with the session, and what a client insists on.

use plunge::proxy::Mode;
use serde_json::{Value, json};

use crate::client::tool;
use crate::fixture::start;

fn progress(id: u32, token: &str) -> Value {
    let mut message = tool(id, "progress", json!({"steps": 2}));
    message["params"]["_meta"] = json!({"progressToken": token});
    message
}

#[tokio::test]
async fn progress_makes_the_answer_a_stream_and_its_absence_does_not() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.stream(&progress(1, "t")).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    for step in 0..2 {
        assert_eq!(
            events.next().await.unwrap()["params"],
            json!({"progressToken": "t", "progress": step})
        );
    }
    assert_eq!(events.next().await.unwrap()["id"], 1);
    assert!(events.next().await.is_none());
    let reply = session.call(2, "echo", json!({})).await;
    assert_eq!(reply.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_client_that_takes_json_only_gets_json_and_the_rest_on_its_stream() {
    let (_server, client) = start(Mode::Session).await;
    let mut session = client.begin().await;
    let mut stream = session.listen().await;
    assert_eq!(
        stream.next().await.unwrap()["params"]["data"],
        "hello",
        "said before the stream was open"
    );
    session.accept = "application/json";
    let reply = session.post(&progress(1, "t")).await;
    assert_eq!(
        (
            reply.headers["content-type"].to_str().unwrap(),
            reply.json()["id"].as_i64()
        ),
        ("application/json", Some(1))
    );
    assert_eq!(stream.next().await.unwrap()["params"]["progress"], 0);
    assert_eq!(stream.next().await.unwrap()["params"]["progress"], 1);
}

#[tokio::test]
async fn a_client_that_takes_streams_only_gets_a_stream_of_one() {
    let (_server, client) = start(Mode::Shared).await;
    let mut client = client;
    client.accept = "text/event-stream";
    let mut events = client.stream(&tool(1, "echo", json!({}))).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.next().await.unwrap()["id"], 1);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_log_line_goes_with_the_only_request_in_flight() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut events = session
        .stream(&tool(1, "log", json!({"data": "now"})))
        .await;
    assert_eq!(events.next().await.unwrap()["params"]["data"], "now");
    assert_eq!(events.next().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn of_two_streams_the_newest_gets_a_message_and_nobody_gets_it_twice() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut old = session.listen().await;
    assert_eq!(old.next().await.unwrap()["params"]["data"], "hello");
    let mut new = session.listen().await;
    session.call(1, "changed", json!({})).await;
    assert_eq!(
        new.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    drop(new);
    session.send(hyper::Method::DELETE, "").await;
    assert!(old.next().await.is_none());
}

#[tokio::test]
async fn what_a_session_is_told_without_a_stream_waits_for_one() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    for id in 0..50 {
        session.call(id, "changed", json!({})).await;
    }
    let mut stream = session.listen().await;
    assert_eq!(stream.next().await.unwrap()["params"]["data"], "hello");
    for _ in 0..50 {
        assert_eq!(
            stream.next().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
}
