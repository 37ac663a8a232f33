//! `exclusive` mode before servers of 2026-07-28: what a client carries back leads to the child that made it.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{Client, Reply, modern, modern_tool};
use crate::fixture::{figures, in_flight, options, script, start_with, stats};

/// None is started before it is needed.
fn few(children: u32) -> ServeOptions {
    ServeOptions {
        max_connections: Some(children),
        min_idle: 0,
        ..options(script("plunge-test", &["modern"]), Mode::Exclusive)
    }
}

/// A request that carries back what this one was answered with.
async fn confirmed(client: &Client) -> Value {
    let mut confirm = modern_tool(1, "confirm", json!({}));
    let asked = client.post_modern(&confirm).await.json();
    confirm["params"]["requestState"] = asked["result"]["requestState"].clone();
    confirm["params"]["inputResponses"] = json!({"sure": true});
    confirm
}

/// Occupies a child until the time is over.
async fn occupied(server: &Server, client: &Client, ms: u32) -> JoinHandle<Reply> {
    let sleeping = client.start_modern(modern_tool(2, "sleep", json!({"ms": ms})));
    in_flight(server, 1).await;
    sleeping
}

fn is_confirmed(reply: &Reply) -> bool {
    reply.status == 200 && reply.text() == r#"{"sure": true}"#
}

/// What the child that makes the answer is asked for afterwards.
async fn task(client: &Client) -> Value {
    let begun = modern_tool(3, "task", json!({}));
    let begun = client.post_modern(&begun).await;
    let task = begun.json()["result"]["taskId"].take();
    modern(4, "tasks/get", json!({"taskId": task}))
}

#[tokio::test]
async fn what_is_carried_back_leads_to_the_child_that_made_it_though_another_one_is_idle() {
    let (server, client) = start_with(few(2)).await;
    let (one, its) = (confirmed(&client).await, task(&client).await);
    let sleeping = occupied(&server, &client, 300).await;
    let (other, others) = (confirmed(&client).await, task(&client).await);
    assert_eq!(sleeping.await.unwrap().text(), "slept");
    for _ in 0..3 {
        for state in [&one, &other, &other, &one] {
            let confirmed = client.post_modern(state).await;
            assert!(is_confirmed(&confirmed), "{confirmed:?}");
        }
        for task in [&its, &others, &others, &its] {
            let got = client.post_modern(task).await.json();
            assert_eq!(got["result"]["mine"], true, "{got}");
        }
    }
    assert_eq!(stats(server.admin_address()).await["pool"]["opened"], 2);
}

#[tokio::test]
async fn it_waits_for_that_child_where_somebody_else_has_it() {
    let (server, client) = start_with(few(2)).await;
    let state = confirmed(&client).await;
    let sleeping = occupied(&server, &client, 300).await;
    let waiting: Vec<_> = (0..5).map(|_| client.start_modern(state.clone())).collect();
    for waiting in waiting {
        let confirmed = waiting.await.unwrap();
        assert!(is_confirmed(&confirmed), "{confirmed:?}");
    }
    assert_eq!(sleeping.await.unwrap().text(), "slept");
    let pool = &stats(server.admin_address()).await["pool"];
    assert_eq!((&pool["opened"], &pool["leased"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn where_that_child_is_gone_another_one_says_so() {
    let (_server, client) = start_with(few(2)).await;
    let state = confirmed(&client).await;
    client.post_modern(&modern_tool(2, "die", json!({}))).await;
    let refused = client.post_modern(&state).await;
    assert_eq!(refused.json()["error"]["code"], -32602, "{refused:?}");
}

#[tokio::test]
async fn where_it_is_lost_while_somebody_waits_for_it_another_one_says_so_at_once() {
    let mut options = few(2);
    options.request_timeout = Duration::from_millis(500);
    let (server, client) = start_with(options).await;
    let state = confirmed(&client).await;
    let hanging = client.start_modern(modern_tool(2, "hang", json!({})));
    in_flight(&server, 1).await;
    let refused = client.post_modern(&state).await;
    assert_eq!(refused.json()["error"]["code"], -32602, "{refused:?}");
    assert_eq!(hanging.await.unwrap().kind(), "timed_out");
}

#[tokio::test]
async fn a_child_that_had_all_its_uses_is_waited_for_by_nobody() {
    let mut options = few(1);
    options.max_uses = Some(2);
    let (_server, client) = start_with(options).await;
    let state = confirmed(&client).await;
    assert!(
        is_confirmed(&client.post_modern(&state).await),
        "its second"
    );
    let refused = client.post_modern(&state).await;
    assert_eq!(refused.json()["error"]["code"], -32602, "{refused:?}");
}

#[tokio::test]
async fn who_goes_away_while_it_waits_leaves_the_child_to_others() {
    let (server, client) = start_with(few(1)).await;
    let state = confirmed(&client).await;
    for _ in 0..5 {
        let sleeping = occupied(&server, &client, 100).await;
        let waiting: Vec<_> = (0..4).map(|_| client.start_modern(state.clone())).collect();
        // Some before the child is free, some about then.
        for (number, waiting) in (0..).zip(waiting) {
            tokio::time::sleep(Duration::from_millis(40 * number)).await; // the story
            waiting.abort();
        }
        assert_eq!(sleeping.await.unwrap().text(), "slept");
    }
    let confirmed = client.post_modern(&confirmed(&client).await).await;
    assert!(is_confirmed(&confirmed), "{confirmed:?}");
    in_flight(&server, 0).await;
    let pool = &stats(server.admin_address()).await["pool"];
    assert_eq!((&pool["leased"], &pool["open"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn those_who_wait_for_one_child_and_those_who_wait_for_any_are_served_in_turn() {
    let (_server, client) = start_with(few(1)).await;
    let state = confirmed(&client).await;
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let (client, state) = (client.clone(), state.clone());
            tokio::spawn(async move {
                loop {
                    let confirmed = client.post_modern(&state).await;
                    assert!(is_confirmed(&confirmed), "{confirmed:?}");
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let reply = client.post_modern(&modern_tool(3, "echo", json!({}))).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    for caller in crowd {
        assert!(!caller.is_finished(), "each was confirmed all the time");
        caller.abort();
    }
}

#[tokio::test]
async fn who_waits_for_a_child_is_told_of_the_end() {
    let (server, client) = start_with(few(1)).await;
    let state = confirmed(&client).await;
    let hanging = client.start_modern(modern_tool(2, "hang", json!({})));
    in_flight(&server, 1).await;
    let waiting = client.start_modern(state);
    figures(&server, "it was taken", |all| all["in_flight"] == 2).await;
    server.shutdown(Duration::from_millis(200)).await;
    for call in [hanging, waiting] {
        assert_eq!(call.await.unwrap().kind(), "closing");
    }
}

/// What one of a crowd does in a round: it asks, kills, goes away, or comes back.
async fn turn(client: &Client, number: u64, round: u64) {
    match (number + round) % 6 {
        0 => drop(task(client).await),
        1 => {
            let reply = client.post_modern(&modern_tool(3, "echo", json!({}))).await;
            assert!(
                reply.status == 200 || reply.kind() == "child_died",
                "{reply:?}"
            );
        }
        2 if round % 10 == 2 => drop(client.post_modern(&modern_tool(2, "die", json!({}))).await),
        3 => {
            let state = confirmed(client).await;
            let calls: Vec<_> = (0..4).map(|_| client.start_modern(state.clone())).collect();
            tokio::time::sleep(Duration::from_micros(300 * number)).await; // the story
            calls.iter().for_each(JoinHandle::abort);
        }
        _ => {
            let reply = client.post_modern(&confirmed(client).await).await;
            let is_known = is_confirmed(&reply) || reply.json()["error"]["code"] == -32602;
            assert!(is_known || reply.kind() == "child_died", "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_of_a_crowd_that_comes_back_goes_away_and_kills() {
    let (server, client) = start_with(few(3)).await;
    let crowd = (0..12).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..20 {
                turn(&client, number, round).await;
            }
        })
    });
    for caller in crowd.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    figures(&server, "all is given back", |all| {
        let pool = &all["pool"];
        let left = [&all["in_flight"], &pool["leased"], &pool["waiting"]];
        left.iter().all(|count| **count == 0)
    })
    .await;
}
