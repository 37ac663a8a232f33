//! Messages that a server over HTTP does not take, and what becomes of those around them.

use std::sync::atomic::{AtomicUsize, Ordering};

use plunge::proxy::{Mode, forward};
use serde_json::{Value, json};

use crate::client::{initialize, tool};
use crate::fixture::{PATIENCE, http_options, start_with};
use crate::upstream::{Act, Stage};

/// Refuses the notification `notifications/x` and takes everything else.
async fn refusing() -> Stage {
    Stage::open(|seen| (seen.asks() == "notifications/x").then(|| Act::status(400))).await
}

fn note() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/x"})
}

fn batch() -> Value {
    json!([tool(1, "any", json!({})), note(), tool(2, "any", json!({}))])
}

fn ids(answers: &Value) -> Vec<i64> {
    let answers = answers.as_array().unwrap_or_else(|| panic!("{answers}"));
    let id = |answer: &Value| answer["id"].as_i64().unwrap();
    answers.iter().map(id).collect()
}

#[tokio::test]
async fn a_notification_that_is_not_taken_costs_no_answer_of_its_batch() {
    let stage = refusing().await;
    let (_server, client) = start_with(http_options(stage.address, Mode::Session)).await;
    let session = client.begin_at("2025-03-26").await;
    let reply = session.post(&batch()).await;
    assert_eq!(
        (reply.status.as_u16(), ids(&reply.json())),
        (200, vec![1, 2])
    );
    assert_eq!(session.post(&json!([note()])).await.status, 400);
    assert_eq!(session.post(&note()).await.status, 400);
}

#[tokio::test]
async fn the_same_over_lines() {
    let stage = refusing().await;
    let options = http_options(stage.address, Mode::Session);
    let lines = [initialize("2025-03-26"), batch(), tool(3, "any", json!({}))];
    let input = lines.map(|line| format!("{line}\n")).concat();
    let mut output = Vec::new();
    forward(options, input.as_bytes(), &mut output, PATIENCE)
        .await
        .unwrap();
    let said: Vec<Value> = String::from_utf8(output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let batches: Vec<_> = said
        .iter()
        .filter(|said| said.is_array())
        .map(ids)
        .collect();
    assert_eq!(batches, [[1, 2]], "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[tokio::test]
async fn an_answer_of_a_client_that_was_not_taken_is_taken_when_it_comes_again() {
    let question =
        json!({"jsonrpc": "2.0", "id": "why", "method": "sampling/createMessage", "params": {}});
    let answer = json!({"jsonrpc": "2.0", "id": "why", "result": {"said": 1}});
    let tries = AtomicUsize::new(0);
    let (asked, said) = (question.clone(), answer.clone());
    let stage = Stage::open(move |seen| {
        if seen.body == said {
            let nth = tries.fetch_add(1, Ordering::Relaxed);
            return (nth == 0).then(|| Act::status(503));
        }
        let asks = seen.asks() == "tools/call";
        asks.then(|| Act::Stream(format!("data: {asked}\n\n"), false))
    })
    .await;
    let (_server, client) = start_with(http_options(stage.address, Mode::Session)).await;
    let session = client.begin().await;
    let mut events = session.stream(&tool(1, "ask", json!({}))).await;
    assert_eq!(events.next().await.unwrap(), question);
    assert_eq!(session.post(&answer).await.status, 502);
    for _ in 0..2 {
        assert_eq!(session.post(&answer).await.status, 202);
    }
    let passed_on = stage.seen(|seen| seen.body == answer);
    assert_eq!(passed_on.len(), 2, "what comes a third time is late");
}
