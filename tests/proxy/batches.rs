//! Batches: only in sessions of the one revision that knows them.

use hyper::Method;
use plunge::proxy::Mode;
use serde_json::{Value, json};

use crate::client::{initialize, text_of, tool};
use crate::fixture::{answering, options, start, start_with};
use crate::remote::{before, forgetful};

#[tokio::test]
async fn a_batch_gets_an_array_of_its_answers_in_both_modes() {
    for mode in [Mode::Session, Mode::Shared] {
        let (_server, client) = start(mode).await;
        let session = client.begin_at("2025-03-26").await;
        let note = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
        let batch = json!([
            tool(1, "echo", json!({"n": 1})),
            note,
            tool("1", "echo", json!({"n": 2})),
            tool(2, "none", json!({}))
        ]);
        let reply = session.post(&batch).await;
        assert_eq!(reply.status, 200);
        let answers: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(ids, [json!(1), json!("1"), json!(2)]);
        assert_eq!(answers[2]["error"]["code"], -32602);
    }
}

/// Answers two calls at a time, in an array, with a line before it that is an empty one.
const IN_PAIRS: &str = r#"
    if method == "initialize":
        say({**answer, "result": hello("2025-03-26")})
    elif method != "tools/call":
        say({**answer, "error": {"code": -32601, "message": "not here"}})
    else:
        kept.append({**answer, "result": {"content": [{"type": "text", "text": message["params"]["name"]}]}})
        if len(kept) == 2:
            say([])
            say(kept)
            kept.clear()
"#;

#[tokio::test]
async fn answers_that_a_child_writes_as_a_batch_are_read_each() {
    for mode in [Mode::Session, Mode::Shared] {
        let command = answering(IN_PAIRS, "");
        let (_server, client) = start_with(options(command, mode)).await;
        let session = client.begin_at("2025-03-26").await;
        let one = session.start(tool(1, "one", json!({})));
        let other = session.call(2, "other", json!({})).await;
        assert_eq!(other.text(), "other", "{mode:?}");
        assert_eq!(one.await.unwrap().text(), "one", "{mode:?}");
    }
}

#[tokio::test]
async fn what_nobody_looked_at_of_a_batch_is_sent_again() {
    let stage = forgetful().await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    let session = client.begin_at("2025-03-26").await;
    let call = |id: u32| tool(id, "any", json!({}));
    let answers = session.post(&json!([call(1), call(2)])).await.json();
    for answer in answers.as_array().unwrap() {
        assert_eq!(text_of(answer), "called");
    }
}

#[tokio::test]
async fn a_batch_of_notifications_is_accepted_without_a_body() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin_at("2025-03-26").await;
    let reply = session.post(&json!([{"jsonrpc": "2.0", "method": "notifications/a"}, {"jsonrpc": "2.0", "method": "notifications/b"}])).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (202, 0));
}

#[tokio::test]
async fn other_revisions_and_bad_batches_are_refused() {
    let (_server, client) = start(Mode::Session).await;
    let batch = json!([tool(1, "echo", json!({}))]);
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = client.begin_at(version).await;
        assert_eq!(session.post(&batch).await.status, 400, "{version}");
    }
    let session = client.begin_at("2025-03-26").await;
    let many: Vec<Value> = (0..101).map(|id| tool(id, "echo", json!({}))).collect();
    for batch in [
        json!([]),
        json!([initialize("2025-03-26")]),
        json!([1]),
        json!(many),
    ] {
        assert_eq!(
            session.send(Method::POST, batch.to_string()).await.status,
            400
        );
    }
}
