//! What overtakes what in `plunge forward`.

use std::sync::Arc;

use plunge::proxy::Mode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{initialize, modern, modern_tool, tool};
use crate::fixture::{eventually, http_options, options, script};
use crate::forwarded::Forwarded;
use crate::upstream::{Act, Stage, message};

/// A notification that the servers here may be slow to take.
const SLOW: &str = "notifications/roots/list_changed";

fn notification(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

fn cancel(id: u32) -> String {
    notification("notifications/cancelled", json!({"requestId": id}))
}

#[tokio::test]
async fn an_answer_that_is_ready_overtakes_that_of_an_earlier_request() {
    for mode in [
        Mode::Session,
        Mode::Exclusive,
        Mode::Shared,
        Mode::Stateless,
    ] {
        let gate = Arc::new(Semaphore::new(0));
        let opens = gate.clone();
        let stage = Stage::open(move |seen| {
            let is_first = seen.body["params"]["name"] == "first";
            is_first.then(|| {
                let answer = Act::json(seen.result(json!({"content": []})));
                Act::After(gate.clone(), Box::new(answer))
            })
        });
        let stage = stage.await;
        let mut client = Forwarded::start(http_options(stage.address, mode));
        client.ask(&initialize("2025-11-25")).await;
        client.tell(&tool(7, "first", json!({})).to_string()).await;
        assert_eq!(client.ask(&tool(8, "second", json!({}))).await["id"], 8);
        opens.add_permits(1);
        let first = client.answer().await;
        assert_eq!(first["id"], 7, "{mode:?}");
        assert!(first["result"].is_object(), "{mode:?}: {first}");
        client.end().await;
    }
}

#[tokio::test]
async fn the_answer_to_a_question_overtakes_what_the_server_does_not_take() {
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let stage = Stage::open(move |seen| match (seen.method.as_str(), seen.asks()) {
        ("GET", _) => {
            let question = json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"});
            Some(Act::Stream(message(&question), false))
        }
        (_, SLOW) => Some(Act::After(gate.clone(), Box::new(Act::status(202)))),
        _ => None,
    });
    let stage = stage.await;
    let mut client = Forwarded::start(http_options(stage.address, Mode::Session));
    client.ask(&initialize("2025-11-25")).await;
    client
        .tell(&notification("notifications/initialized", json!({})))
        .await;
    assert_eq!(client.message().await["id"], "q");
    client.tell(&notification(SLOW, json!({}))).await;
    let answer = json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}});
    client.tell(&answer.to_string()).await;
    eventually("the answer is passed on", || {
        !stage.seen(|seen| seen.body == answer).is_empty()
    })
    .await;
    opens.add_permits(1);
    client.end().await;
}

#[tokio::test]
async fn a_cancellation_that_the_server_does_not_take_holds_up_no_other_line() {
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let stage = Stage::open(move |seen| {
        let is_slow = [SLOW, "notifications/cancelled"].contains(&seen.asks());
        is_slow.then(|| Act::After(gate.clone(), Box::new(Act::status(202))))
    });
    let stage = stage.await;
    let mut client = Forwarded::start(http_options(stage.address, Mode::Session));
    client.ask(&initialize("2025-11-25")).await;
    client.tell(&notification(SLOW, json!({}))).await;
    client.tell(&tool(2, "echo", json!({})).to_string()).await;
    // What it names is not known here: it goes on to the server.
    client.tell(&cancel(99)).await;
    client.tell(&cancel(2)).await;
    let cancelled = client.answer().await;
    let kind = &cancelled["error"]["data"]["kind"];
    assert_eq!((&cancelled["id"], kind), (&json!(2), &json!("cancelled")));
    opens.add_permits(2);
    client.end().await;
}

#[tokio::test]
async fn cancellations_overtake_a_request_that_waits_for_a_child() {
    let mut options = options(script("plunge-test", &[]), Mode::Exclusive);
    options.max_connections = Some(1);
    let mut client = Forwarded::start(options);
    client.ask(&initialize("2025-11-25")).await;
    client.tell(&tool(1, "hang", json!({})).to_string()).await;
    for id in 2..4 {
        client.tell(&tool(id, "echo", json!({})).to_string()).await;
    }
    // One that waits in its line, the one that waits for the child, and the one that has it.
    for id in [3, 2, 1] {
        client.tell(&cancel(id)).await;
        let cancelled = client.answer().await;
        let kind = &cancelled["error"]["data"]["kind"];
        assert_eq!((&cancelled["id"], kind), (&json!(id), &json!("cancelled")));
    }
    client.end().await;
}

#[tokio::test]
async fn requests_without_a_session_that_wait_for_a_child_are_cancelled_too() {
    let mut options = options(script("plunge-test", &[]), Mode::Exclusive);
    options.max_connections = Some(1);
    let mut client = Forwarded::start(options);
    client
        .tell(&modern_tool(1, "hang", json!({})).to_string())
        .await;
    for id in 2..4 {
        let call = modern_tool(id, "echo", json!({}));
        client.tell(&call.to_string()).await;
    }
    // It needs no child, but has its turn behind them.
    let last = modern(4, "ping", json!({}));
    client.tell(&last.to_string()).await;
    for id in [3, 2] {
        client.tell(&cancel(id)).await;
    }
    assert_eq!(
        client.answer().await["id"],
        4,
        "nobody waits for the others"
    );
    client.tell(&cancel(1)).await;
    client.end().await;
}
