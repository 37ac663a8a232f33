//! Requests of the child to its client.

use plunge::proxy::Mode;
use serde_json::{Value, json};

use crate::client::{text_of, tool};
use crate::fixture::{options, script, start, start_with};

fn answer(id: impl Into<Value>, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "result": result})
}

#[tokio::test]
async fn a_question_comes_on_the_requests_stream_and_its_answer_goes_back() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.stream(&tool(1, "ask", json!({"id": "q-1"}))).await;
    let question = events.next().await.unwrap();
    assert_eq!(
        (&question["id"], &question["method"]),
        (&json!("q-1"), &json!("sampling/createMessage"))
    );
    let taken = session.post(&answer("q-1", json!({"said": "yes"}))).await;
    assert_eq!((taken.status.as_u16(), taken.body.len()), (202, 0));
    let result = text_of(&events.next().await.unwrap());
    assert_eq!(
        serde_json::from_str::<Value>(&result).unwrap()["result"],
        json!({"said": "yes"})
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_answer_to_nothing_is_taken_and_dropped() {
    let (_server, client) = start(Mode::Session).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let mut events = one.stream(&tool(1, "ask", json!({"id": 9}))).await;
    assert_eq!(events.next().await.unwrap()["id"], 9);
    assert_eq!(
        other.post(&answer(9, json!("theirs"))).await.status,
        202,
        "another session's answer"
    );
    assert_eq!(
        one.post(&answer("9", json!("a string"))).await.status,
        202,
        "another type of id"
    );
    assert_eq!(one.post(&answer(9, json!("mine"))).await.status, 202);
    let result = text_of(&events.next().await.unwrap());
    assert_eq!(
        serde_json::from_str::<Value>(&result).unwrap()["result"],
        "mine"
    );
    assert_eq!(one.post(&answer(9, json!("again"))).await.status, 202);
    assert_eq!(one.call(2, "echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_request_does_not_time_out_while_a_person_thinks() {
    let mut options = options(script("plunge-test", &[]), Mode::Session);
    let patience = std::time::Duration::from_millis(200);
    (options.request_timeout, options.response_timeout) = (patience, patience);
    let (_server, client) = start_with(options).await;
    let (session, other) = (client.begin().await, client.begin().await);
    let mut events = session.stream(&tool(1, "ask", json!({}))).await;
    assert_eq!(events.next().await.unwrap()["id"], "question");
    // Longer than the question was asked: another session's call has run into the same time-out.
    assert_eq!(other.call(1, "hang", json!({})).await.status, 504);
    session.post(&answer("question", json!({}))).await;
    assert_eq!(events.next().await.unwrap()["id"], 1);
}
