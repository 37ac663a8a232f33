//! What clients post outside a session that no answer is expected to, and what servers ask where nobody is asked.

use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};

use crate::client::{Client, initialize};
use crate::fixture::{options, script, start_with};
use crate::forwarded::Forwarded;

fn one(mode: Mode) -> ServeOptions {
    ServeOptions {
        max_connections: Some(1),
        ..options(script("plunge-test", &[]), mode)
    }
}

/// Notifications, and answers to what nobody was asked.
fn posts() -> [Value; 4] {
    [
        json!({"jsonrpc": "2.0", "method": "notifications/anything"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}),
        json!({"jsonrpc": "2.0", "id": "question", "result": "forged"}),
        json!({"jsonrpc": "2.0", "id": "question", "error": {"code": 1, "message": "forged"}}),
    ]
}

async fn are_taken(client: &Client) {
    for message in posts() {
        let reply = client.post(&message).await;
        let status = reply.status.as_u16();
        assert_eq!((status, reply.body.len()), (202, 0), "{message}");
    }
}

#[tokio::test]
async fn what_is_posted_outside_a_session_is_taken_and_reaches_nobody() {
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Stateless] {
        let (_server, client) = start_with(one(mode)).await;
        for client in [client.clone(), client.begin().await] {
            are_taken(&client).await;
            let told = client.call(1, "cancelled", json!({})).await.text();
            assert_eq!(told, "[]", "{mode:?}");
        }
    }
    let (_server, client) = start_with(one(Mode::Oneshot)).await;
    are_taken(&client).await;
    assert_eq!(client.call(1, "echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn a_question_where_nobody_is_asked_is_refused_to_the_server_alone() {
    for mode in [Mode::Exclusive, Mode::Shared, Mode::Stateless] {
        let (_server, client) = start_with(one(mode)).await;
        for client in [client.clone(), client.begin().await] {
            are_taken(&client).await;
            let reply = client.call(1, "ask", json!({})).await;
            let told: Value = serde_json::from_str(&reply.text()).unwrap();
            assert_eq!(told["error"]["code"], -32601, "{mode:?}");
            assert_eq!(told["result"], Value::Null);
        }
    }
}

#[tokio::test]
async fn a_process_with_one_request_that_asks_is_not_answered() {
    let (_server, client) = start_with(one(Mode::Oneshot)).await;
    let reply = client.call(1, "ask", json!({})).await;
    assert_eq!(reply.kind(), "child_died");
    assert_eq!(reply.json()["id"], 1);
    assert_eq!(client.call(2, "echo", json!({})).await.text(), "{}");
}

#[tokio::test]
async fn an_initialize_that_is_taken_back_is_answered_all_the_same() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive, Mode::Oneshot] {
        let mut client = Forwarded::start(one(mode));
        let back = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 0}});
        let both = format!("{}\n{back}", initialize("2025-11-25"));
        client.tell(&both).await;
        let answer = client.answer().await;
        assert_eq!(answer["id"], 0, "{mode:?}");
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        client.end().await;
    }
}
