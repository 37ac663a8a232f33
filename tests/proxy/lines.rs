//! One client over standard input and output: how its lines are read, and what the end of its input leads to.

use std::time::Duration;

use plunge::proxy::{Mode, forward};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::client::{initialize, modern, tool};
use crate::fixture::{PATIENCE, marker, options, processes, script};
use crate::forwarded::Forwarded;

#[tokio::test]
async fn a_revision_that_is_not_spoken_is_refused_by_name() {
    let children = options(script("plunge-test", &["modern"]), Mode::Stateless);
    let mut client = Forwarded::start(children);
    let mut probe = modern("d", "server/discover", json!({}));
    probe["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let refused = client.ask(&probe).await;
    let error = &refused["error"];
    assert_eq!(
        (&refused["id"], &error["code"]),
        (&json!("d"), &json!(-32022))
    );
    assert_eq!(error["data"]["supported"][0], "2026-07-28");
    client.end().await;
}

#[tokio::test]
async fn a_batch_after_the_death_of_its_sessions_child_is_told_that_the_session_is_over() {
    let mut forwarded = Forwarded::start(options(script("plunge-test", &[]), Mode::Session));
    forwarded.ask(&initialize("2025-03-26")).await;
    forwarded.ask(&tool(1, "die", json!({}))).await;
    let refused = forwarded.ask(&json!([tool(2, "echo", json!({}))])).await;
    assert_eq!(refused["error"]["data"]["kind"], "session_ended");
}

#[tokio::test]
async fn the_end_of_the_input_lets_requests_end_and_leaves_no_process() {
    let mark = marker("forward");
    let mut client = Forwarded::start(options(script(&mark, &[]), Mode::Shared));
    for id in 0..20 {
        client
            .tell(&tool(id, "sleep", json!({"ms": 50})).to_string())
            .await;
    }
    client.input.shutdown().await.unwrap();
    let mut answered = Vec::new();
    while answered.len() < 20 {
        answered.push(client.answer().await["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..20).collect::<Vec<_>>());
    assert!(client.lines.next_line().await.unwrap().is_none());
    client.running.await.unwrap();
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn the_end_of_the_input_ends_subscriptions_in_order() {
    for flags in [&["modern"][..], &[]] {
        let mut client = Forwarded::start(options(script("plunge-test", flags), Mode::Stateless));
        let wants = json!({"notifications": {"toolsListChanged": true}});
        let listen = modern(1, "subscriptions/listen", wants);
        client.tell(&listen.to_string()).await;
        let told = client.message().await;
        assert_eq!(told["method"], "notifications/subscriptions/acknowledged");
        client.input.shutdown().await.unwrap();
        let end = client.message().await;
        assert_eq!(
            (&end["id"], &end["result"]["resultType"]),
            (&json!(1), &json!("complete")),
            "{flags:?}"
        );
        client.end().await;
    }
}

#[tokio::test]
async fn answers_that_wait_behind_long_ones_all_arrive() {
    let mut client = Forwarded::start(options(script("plunge-test", &[]), Mode::Session));
    client.ask(&initialize("2025-11-25")).await;
    for id in 0..40 {
        let bytes = if id % 10 == 0 { 2 << 20 } else { 1 };
        let call = tool(id, "big", json!({"bytes": bytes}));
        client.tell(&call.to_string()).await;
    }
    let mut answered = Vec::new();
    while answered.len() < 40 {
        answered.push(client.answer().await["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..40).collect::<Vec<_>>());
    client.end().await;
}

#[tokio::test]
async fn a_client_that_ended_its_input_and_does_not_read_is_not_waited_for() {
    let mark = marker("unread");
    let (mut ours, theirs) = tokio::io::duplex(1 << 12);
    let (read, write) = tokio::io::split(theirs);
    let options = options(script(&mark, &[]), Mode::Shared);
    let patience = Duration::from_millis(300);
    let forwarding = tokio::spawn(forward(options, read, write, patience));
    let call = tool(1, "big", json!({"bytes": 1 << 20}));
    ours.write_all(format!("{call}\n").as_bytes())
        .await
        .unwrap();
    ours.shutdown().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, forwarding).await;
    let error = ended.expect("it ends").unwrap().unwrap_err();
    assert!(error.to_string().contains("not read"), "{error}");
    assert!(processes(&mark).is_empty());
    drop(ours);
}

#[tokio::test]
async fn a_client_that_reads_none_of_many_refusals_is_not_waited_for_behind_the_end_of_its_input() {
    let (mut ours, theirs) = tokio::io::duplex(64);
    let (read, write) = tokio::io::split(theirs);
    let options = options(script("plunge-test", &[]), Mode::Shared);
    let patience = Duration::from_millis(300);
    let forwarding = tokio::spawn(forward(options, read, write, patience));
    // More than the way out has room for, fewer than are read ahead.
    ours.write_all("nonsense\n".repeat(800).as_bytes())
        .await
        .unwrap();
    ours.shutdown().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, forwarding).await;
    let error = ended.expect("it ends").unwrap().unwrap_err();
    assert!(error.to_string().contains("not read"), "{error}");
    drop(ours);
}

#[tokio::test]
async fn what_is_cut_off_by_the_end_gets_its_fault() {
    for mode in [
        Mode::Session,
        Mode::Shared,
        Mode::Exclusive,
        Mode::Stateless,
        Mode::Oneshot,
    ] {
        let options = options(script("plunge-test", &[]), mode);
        let (mut client, stop) = Forwarded::draining(options, Duration::from_secs(1));
        if mode != Mode::Oneshot {
            client.ask(&initialize("2025-11-25")).await;
        }
        let mut call = tool(1, "sleep", json!({"ms": 3_600_000}));
        call["params"]["_meta"] = json!({"progressToken": 1});
        client.tell(&call.to_string()).await;
        while client.message().await["method"] != "notifications/progress" {}
        stop.send(()).unwrap();
        let cut = client.answer().await;
        assert_eq!(cut["id"], 1, "{mode:?}: {cut}");
        assert!(cut["error"]["code"].is_number(), "{mode:?}: {cut}");
        assert_eq!(client.lines.next_line().await.unwrap(), None, "{mode:?}");
        client.running.await.unwrap();
    }
}

#[tokio::test]
async fn more_requests_than_wait_here_are_all_served_in_their_order() {
    let mut options = options(script("plunge-test", &[]), Mode::Exclusive);
    options.max_connections = Some(1);
    let mut client = Forwarded::start(options);
    let mut lines = String::new();
    for id in 0..3000 {
        lines += &tool(id, "count", json!({})).to_string();
        lines.push('\n');
    }
    let Forwarded { mut input, .. } = client;
    let writing = tokio::spawn(async move {
        input.write_all(lines.as_bytes()).await.unwrap();
        input.shutdown().await.unwrap();
        input
    });
    for id in 0..3000 {
        let answer: Value =
            serde_json::from_str(&client.lines.next_line().await.unwrap().unwrap()).unwrap();
        assert!(
            answer["id"] == id && answer["result"].is_object(),
            "{answer}"
        );
    }
    drop(writing.await.unwrap());
    client.running.await.unwrap();
}

#[tokio::test]
async fn lines_that_are_too_long_or_no_messages_are_answered_and_survived() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_body_bytes = 1000;
    let mut client = Forwarded::start(options);
    client.tell("").await;
    for (line, kind) in [
        ("x".repeat(5000), "too_large"),
        ("nonsense".to_owned(), "not_json"),
        ("[]".to_owned(), "bad_message"),
    ] {
        client.tell(&line).await;
        let answer = client.answer().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["data"]["kind"]),
            (&Value::Null, &json!(kind))
        );
    }
    assert_eq!(client.ask(&tool(1, "echo", json!({}))).await["id"], 1);
    client.end().await;
}
