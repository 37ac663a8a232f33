//! `exclusive` mode: a child has one request at a time, and goes back only if it is clean.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use plunge::proxy::{Mode, ServeOptions, Server};
use plunge::resilience::ProbeOptions;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::{Client, Reply, initialize, tool};
use crate::fixture::{
    PATIENCE, eventually, in_flight, marker, options, processes, script, start_with, stats,
};

fn few(mark: &str, children: u32) -> ServeOptions {
    ServeOptions {
        max_connections: Some(children),
        ..options(script(mark, &[]), Mode::Exclusive)
    }
}

async fn pid(client: &Client) -> String {
    client.call(1, "pid", json!({})).await.text()
}

#[tokio::test]
async fn a_clean_child_is_used_again_and_needs_no_session() {
    let (server, client) = start_with(few("plunge-test", 1)).await;
    let first = pid(&client).await;
    for _ in 0..20 {
        assert_eq!(pid(&client).await, first);
    }
    assert_eq!(stats(server.admin_address()).await["pool"]["opened"], 1);
    assert!(client.begin().await.session.is_some());
}

#[tokio::test]
async fn a_child_never_has_two_requests() {
    let (server, client) = start_with(few("plunge-test", 3)).await;
    let calls: Vec<_> = (0..60)
        .map(|number: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                let reply = client.call(1, "sleep", json!({"ms": 10})).await;
                (number, reply.status.as_u16(), reply.text())
            })
        })
        .collect();
    let mut most = 0;
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        for child in stats(server.admin_address()).await["children"]
            .as_array()
            .unwrap()
        {
            most = most.max(child["in_flight"].as_u64().unwrap());
        }
    }
    for call in calls {
        let (_, status, text) = call.await.unwrap();
        assert_eq!((status, text.as_str()), (200, "slept"));
    }
    assert!(most <= 1, "{most}");
    assert!(stats(server.admin_address()).await["pool"]["opened"].as_u64() <= Some(3));
}

/// What somebody is told while the only place has a call, which is cancelled then.
pub async fn beside_a_call(server: &Server, client: &Client) -> Reply {
    let session = client.begin().await;
    let hanging = session.hang(1);
    in_flight(server, 1).await;
    let told = client.call(2, "echo", json!({})).await;
    session.cancel(1).await;
    assert_eq!(hanging.await.unwrap().kind(), "cancelled");
    told
}

#[tokio::test]
async fn who_finds_every_child_taken_waits_in_line_and_then_comes_back_later() {
    let mut options = few("plunge-test", 1);
    options.acquire_timeout = Duration::from_millis(300);
    let (server, client) = start_with(options).await;
    let refused = beside_a_call(&server, &client).await;
    assert!(refused.is_busy(), "{refused:?}");
    let mut status = 503;
    while status == 503 {
        status = client.call(3, "echo", json!({})).await.status.as_u16();
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_child_that_is_not_clean_is_not_used_again() {
    let mark = marker("stained");
    let (_server, client) = start_with(few(&mark, 1)).await;
    let mut seen = HashSet::from([pid(&client).await]);
    for (name, arguments) in [
        ("ask", json!({})),
        ("twice", json!({})),
        ("noise", json!({})),
    ] {
        assert_eq!(client.call(1, name, arguments).await.status, 200, "{name}");
        let mut fresh = pid(&client).await;
        // What follows an answer may be read after the next request has begun.
        if seen.contains(&fresh) {
            fresh = pid(&client).await;
        }
        assert!(seen.insert(fresh), "{name}");
    }
    eventually("one child is left", || processes(&mark).len() == 1).await;
}

#[tokio::test]
async fn what_follows_an_answer_costs_its_child() {
    let (_server, client) = start_with(few("plunge-test", 1)).await;
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#,
        "plain words",
    ] {
        let first = pid(&client).await;
        let mut tries = 0;
        // Read after the next request has begun it may be about that.
        while pid(&client).await == first {
            client.call(1, "after", json!({"line": line})).await;
            tries += 1;
            assert!(tries < 50, "{line}");
        }
    }
}

#[tokio::test]
async fn a_request_that_timed_out_costs_its_child() {
    let mut options = few("plunge-test", 1);
    options.request_timeout = Duration::from_millis(150);
    let (_server, client) = start_with(options).await;
    let first = pid(&client).await;
    assert_eq!(client.call(1, "hang", json!({})).await.kind(), "timed_out");
    let mut reply = client.call(1, "pid", json!({})).await;
    while reply.status != 200 {
        reply = client.call(1, "pid", json!({})).await;
    }
    assert_ne!(reply.text(), first);
}

#[tokio::test]
async fn progress_reaches_the_request_that_asked_for_it() {
    let (_server, client) = start_with(few("plunge-test", 2)).await;
    let mut message: Value = tool(1, "progress", json!({"steps": 3}));
    message["params"]["_meta"] = json!({"progressToken": "mine"});
    let mut events = client.stream(&message).await;
    for step in 0..3 {
        let event = events.next().await.unwrap();
        assert_eq!(
            (
                &event["params"]["progressToken"],
                &event["params"]["progress"]
            ),
            (&json!("mine"), &json!(step))
        );
    }
    assert_eq!(events.next().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn a_death_in_mid_call_is_typed_and_the_next_call_gets_a_fresh_child() {
    let mark = marker("exclusive-death");
    let (server, client) = start_with(few(&mark, 2)).await;
    for _ in 0..5 {
        assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
        assert_eq!(client.call(2, "echo", json!({})).await.status, 200);
    }
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn a_client_is_told_what_the_server_says_of_itself_now() {
    let (_server, client) = start_with(few("plunge-test", 1)).await;
    for _ in 0..2 {
        let pid = pid(&client).await;
        let greeted = client.post(&initialize("2025-11-25")).await;
        assert_eq!(greeted.json()["result"]["serverInfo"]["version"], pid);
        client.call(1, "die", json!({})).await;
    }
}

/// Asks an idle child for a sign of life all the time.
fn asking(mark: &str, flags: &[&str]) -> ServeOptions {
    let moment = Duration::from_millis(60);
    ServeOptions {
        max_connections: Some(1),
        probe: ProbeOptions {
            interval: moment,
            patience: 3 * moment,
            ..ProbeOptions::default()
        },
        ..options(script(mark, flags), Mode::Exclusive)
    }
}

#[tokio::test]
async fn an_idle_child_that_hangs_is_found_and_replaced_before_anybody_gets_it() {
    let mark = marker("hung-idle");
    let (server, client) = start_with(asking(&mark, &[])).await;
    let first = pid(&client).await;
    let stopped = Pid::from_raw(first.parse().unwrap()).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    let old = stopped.as_raw_nonzero().get().unsigned_abs();
    eventually("it is gone", || {
        let left = processes(&mark);
        left.len() == 1 && !left.contains(&old)
    })
    .await;
    assert_ne!(pid(&client).await, first);
    let figures = stats(server.admin_address()).await;
    assert_eq!(figures["upstream"]["ejected"], 1);
    assert_eq!(figures["pool"]["open"], 1);
}

#[tokio::test]
async fn a_child_that_has_a_request_is_not_asked_and_one_that_answers_is_kept() {
    // What it says to a question is about that, and none that follows an answer.
    let (server, client) = start_with(asking("plunge-test", &["chatty"])).await;
    let first = pid(&client).await;
    // It reads nothing for longer than it may be silent where it has nothing to do.
    let late = client.call(1, "late", json!({"ms": 1500})).await;
    assert_eq!(late.text(), "late");
    let admin = server.admin_address();
    let ejected = async || stats(admin).await["upstream"]["ejected"].take();
    assert_eq!(
        (pid(&client).await, ejected().await),
        (first.clone(), json!(0))
    );
    let begun = Instant::now();
    // It says something to each question, which reaches nobody.
    let asked = async || stats(admin).await["strays"]["dropped"].as_u64();
    while asked().await.expect("it is counted") < 3 {
        assert!(begun.elapsed() < PATIENCE, "it is not asked");
        tokio::task::yield_now().await;
    }
    assert_eq!(pid(&client).await, first);
}
