//! MCP servers over HTTP that go under calls, or forget their sessions, and are back: what is tried again, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{Client, Reply, initialize, request, tool};
use crate::fixture::{PATIENCE, eventually, start_with, stats};
use crate::remote::{before, quick};
use crate::upstream::{Act, Seen, Stage, usual};

/// A call of each of so many clients, all of which the upstream has.
async fn under_way(client: &Client, stage: &Stage, count: u32) -> tokio::task::JoinSet<Reply> {
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
    let figures = stats(server.admin_address()).await;
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
        let call = client.start(tool(2, "any", json!({})));
        // It was refused a connection at least once.
        let figures = async || stats(server.admin_address()).await;
        while figures().await["connections_upstream"]["connect_failures"] == 0 {}
        let _stage = Stage::open_at(address, |_| None).await;
        assert_eq!(call.await.unwrap().text(), "called", "{mode:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_to_begin_while_its_upstream_restarts_waits_for_it() {
    let stage = Stage::open(|_| None).await;
    let options = ServeOptions {
        min_idle: 8,
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let begun = std::time::Instant::now();
    while stats(server.admin_address()).await["pool"]["idle"] != 8 {
        assert!(begun.elapsed() < PATIENCE, "all wait for a session");
    }
    // Past the time in which a connection that is dropped says that the server wants none.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let address = stage.address;
    drop(stage);
    let begun = client.start(initialize("2025-11-25"));
    tried_again(&server, 1).await;
    let _stage = Stage::open_at(address, |_| None).await;
    let reply = begun.await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Waits until so many calls were.
async fn tried_again(server: &Server, count: u64) {
    let begun = std::time::Instant::now();
    while stats(server.admin_address()).await["upstream"]["retried"].as_u64() < Some(count) {
        assert!(begun.elapsed() < PATIENCE, "{count} are tried again");
    }
}

#[tokio::test]
async fn calls_within_sessions_fill_the_budget_of_retries_too() {
    let stage = Stage::open(|_| None).await;
    let (server, client) = before(&stage, Mode::Session).await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let session = client.begin().await;
        for id in 0..40 {
            assert_eq!(session.call(id, "any", json!({})).await.text(), "called");
        }
        sessions.push(session);
    }
    let address = stage.address;
    drop(stage);
    let mut calls = tokio::task::JoinSet::new();
    for session in sessions {
        calls.spawn(async move { session.call(99, "any", json!({})).await });
    }
    tried_again(&server, 10).await;
    let _stage = Stage::open_at(address, |_| None).await;
    for reply in calls.join_all().await {
        assert_eq!(reply.text(), "called");
    }
}

#[tokio::test]
async fn old_connections_that_break_off_cost_no_more_second_tries_than_the_budget_has() {
    const CALLS: usize = 100;
    let gate = Arc::new(Semaphore::new(0));
    let stage = Stage::open({
        let gate = gate.clone();
        move |seen| match seen.asks() {
            "tools/call" => Some(Act::After(gate.clone(), Box::new(usual(seen)))),
            "tools/list" => Some(Act::Drop),
            _ => None,
        }
    })
    .await;
    let options = ServeOptions {
        max_connections: Some(1),
        max_in_flight: CALLS,
        ..quick(&stage, Mode::Shared)
    };
    let (_server, client) = start_with(options).await;
    let all = |message: fn(usize) -> Value| {
        let mut calls = tokio::task::JoinSet::new();
        for id in 0..CALLS {
            let client = client.clone();
            calls.spawn(async move { client.post(&message(id)).await });
        }
        calls
    };
    let calls = all(|id| tool(id, "any", json!({})));
    let called = |seen: &Seen| seen.asks() == "tools/call";
    eventually("each has a connection", || {
        stage.seen(called).len() == CALLS
    })
    .await;
    gate.add_permits(CALLS);
    calls.join_all().await;
    for reply in all(|id| request(id, "tools/list", json!({})))
        .join_all()
        .await
    {
        assert_eq!(reply.kind(), "child_died");
    }
    let listed = stage.seen(|seen| seen.asks() == "tools/list").len();
    assert!((CALLS..2 * CALLS).contains(&listed), "{listed}");
}

#[tokio::test]
async fn what_is_sent_again_brings_no_retries_of_its_own() {
    const ROUNDS: u64 = 5;
    const CALLS: u64 = 100;
    let stage = Stage::open(|seen| (seen.asks() == "tools/list").then_some(Act::Drop)).await;
    let mut options = quick(&stage, Mode::Shared);
    // The circuit stays closed.
    (options.breaker.failures, options.breaker.least_calls) = (u32::MAX, u32::MAX);
    let (server, client) = start_with(options).await;
    let begun = std::time::Instant::now();
    for _ in 0..ROUNDS {
        let calls = (0..CALLS).map(|id| client.start(request(id, "tools/list", json!({}))));
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().kind(), "child_died");
        }
    }
    let figures = stats(server.admin_address()).await;
    let retried = figures["upstream"]["retried"].as_u64().unwrap();
    // A fifth of the calls, and five a second, those of the second before them included.
    let most = ROUNDS * CALLS / 5 + 5 * (begun.elapsed().as_secs() + 2);
    assert!((1..=most).contains(&retried), "{retried} of {most}");
}

#[tokio::test]
async fn a_session_that_the_upstream_forgot_under_many_calls_costs_none_of_them() {
    let learns = Arc::new(Semaphore::new(0));
    let called = |seen: &Seen| seen.asks() == "tools/call";
    let forgotten = move |seen: &Seen| called(seen) && seen.header("mcp-session-id") == Some("s-0");
    let stage = Stage::open({
        let learns = learns.clone();
        move |seen| forgotten(seen).then(|| Act::After(learns.clone(), Act::status(404).into()))
    })
    .await;
    let (server, client) = before(&stage, Mode::Shared).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 0..16 {
        let client = client.clone();
        calls.spawn(async move { client.call(id, "any", json!({})).await });
    }
    eventually("all are called", || stage.seen(called).len() == 16).await;
    for nth in 1..=stage.seen(forgotten).len() {
        learns.add_permits(1); // one after the other learns it
        eventually("it is called again", || {
            stage.seen(called).len() == 16 + nth
        })
        .await;
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.json()["error"], Value::Null, "{reply:?}");
    }
    let figures = stats(server.admin_address()).await;
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
        held.push(client.start(tool(1, "hold", json!({}))));
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
async fn a_server_that_forgot_all_sessions_that_wait_costs_no_call() {
    let (forgotten, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let waits = |seen: &Seen| seen.body["params"]["name"] == "wait";
    let stage = Stage::open({
        let (forgotten, answers) = (forgotten.clone(), answers.clone());
        move |seen| {
            let number = seen.header("mcp-session-id")?.strip_prefix("s-")?;
            if number.parse::<usize>().unwrap() < forgotten.load(Ordering::Relaxed) {
                return Some(Act::status(404));
            }
            let answer = Act::json(seen.result(json!({})));
            waits(seen).then(|| Act::After(answers.clone(), answer.into()))
        }
    })
    .await;
    let options = ServeOptions {
        max_connections: Some(16),
        min_idle: 0,
        ..quick(&stage, Mode::Exclusive)
    };
    let (_server, client) = start_with(options).await;
    let calls = under_way(&client, &stage, 16).await;
    answers.add_permits(16);
    for reply in calls.join_all().await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // A session has the number of the post that began it.
    let posts = stage.seen(|seen| seen.method == "POST").len();
    forgotten.store(posts, Ordering::Relaxed);
    let reply = client.call(1, "any", json!({})).await;
    assert_eq!(reply.text(), "called");
}
