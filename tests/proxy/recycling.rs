//! Children that work and make way for others, because they had their share of requests or of time.

use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use plunge::proxy::{Config, Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, modern, modern_tool, tool};
use crate::fixture::{
    PATIENCE, eventually, in_flight, marker, options, processes, python, script, start_with, stats,
};
use crate::program::Program;

async fn pid(client: &Client) -> String {
    let reply = client.call(1, "pid", json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

async fn recycled(admin: std::net::SocketAddr, reason: &str) -> u64 {
    stats(admin).await["recycled"][reason].as_u64().unwrap()
}

/// How often each child answered so many calls of eight clients at once, all of which have to succeed.
async fn answers(client: &Client, calls: u32) -> HashMap<String, u64> {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        callers.spawn(async move {
            let mut pids = Vec::new();
            for _ in 0..calls / 8 {
                pids.push(pid(&client).await);
            }
            pids
        });
    }
    let mut counts = HashMap::new();
    for pid in callers.join_all().await.into_iter().flatten() {
        *counts.entry(pid).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn no_child_answers_more_than_its_share_and_no_call_fails_for_that() {
    for mode in [Mode::Shared, Mode::Exclusive] {
        let mark = marker(&format!("uses-{}", mode.as_str()));
        let options = ServeOptions {
            max_connections: Some(2),
            max_uses: Some(20),
            ..options(script(&mark, &[]), mode)
        };
        let (server, client) = start_with(options).await;
        let counts = answers(&client, 160).await;
        assert!(counts.values().all(|count| *count <= 20), "{counts:?}");
        assert!(counts.len() >= 8, "{mode:?}: {counts:?}");
        let replaced = recycled(server.admin_address(), "uses").await;
        assert!(replaced >= counts.len() as u64 - 4, "{replaced} replaced");
        eventually("what was replaced is gone", || processes(&mark).len() <= 3).await;
        server.shutdown(Duration::from_secs(10)).await;
        assert!(processes(&mark).is_empty());
    }
}

#[tokio::test]
async fn a_shared_child_that_is_old_enough_makes_way_and_ends_what_it_has() {
    let mark = marker("lifetime-shared");
    let options = ServeOptions {
        max_connections: Some(1),
        max_lifetime: Some(Duration::from_millis(1500)),
        ..options(script(&mark, &[]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    let first = pid(&client).await;
    let slow = client.start(tool(2, "sleep", json!({"ms": 3000})));
    in_flight(&server, 1).await;
    while pid(&client).await == first {}
    assert!(!slow.is_finished(), "it is with the child that leaves");
    assert_eq!(
        processes(&mark)
            .iter()
            .map(u32::to_string)
            .filter(|pid| *pid == first)
            .count(),
        1
    );
    assert_eq!(slow.await.unwrap().text(), "slept");
    eventually("it is gone", || {
        !processes(&mark).iter().any(|pid| pid.to_string() == first)
    })
    .await;
    assert!(recycled(server.admin_address(), "lifetime").await >= 1);
}

#[tokio::test]
async fn children_that_wait_for_sessions_are_replaced_and_a_session_keeps_its_own() {
    let mark = marker("lifetime-session");
    let options = ServeOptions {
        max_connections: Some(4),
        min_idle: 2,
        max_lifetime: Some(Duration::from_millis(800)),
        ..options(script(&mark, &[]), Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let own = pid(&session).await;
    eventually("two wait beside it", || processes(&mark).len() == 3).await;
    let waiting = processes(&mark);
    eventually("others wait", || {
        let now = processes(&mark);
        waiting
            .iter()
            .all(|pid| pid.to_string() == own || !now.contains(pid))
    })
    .await;
    assert_eq!(pid(&session).await, own);
    assert!(recycled(server.admin_address(), "lifetime").await >= 2);
    session.send(Method::DELETE, "").await;
    eventually("it ended with its session", || {
        !processes(&mark).iter().any(|pid| pid.to_string() == own)
    })
    .await;
}

#[tokio::test]
async fn an_idle_exclusive_child_that_is_old_enough_is_replaced() {
    let options = ServeOptions {
        max_connections: Some(1),
        max_lifetime: Some(Duration::from_millis(500)),
        ..options(script("plunge-test", &[]), Mode::Exclusive)
    };
    let (server, client) = start_with(options).await;
    let first = pid(&client).await;
    let admin = server.admin_address();
    while recycled(admin, "lifetime").await == 0 {}
    assert_ne!(pid(&client).await, first);
}

#[tokio::test]
async fn a_child_whose_successor_does_not_start_serves_on() {
    let program = Program::new("no-successor");
    let options = ServeOptions {
        max_connections: Some(1),
        max_uses: Some(3),
        ..options(program.command(&[]), Mode::Shared)
    };
    let (_server, client) = start_with(options).await;
    program.take_away();
    let first = pid(&client).await;
    for _ in 0..10 {
        assert_eq!(pid(&client).await, first);
    }
    program.bring_back();
    while pid(&client).await == first {}
}

const CHILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");

/// An upstream whose children have this flag.
fn file(flag: &str, upstream: &str) -> Config {
    file_of(&[python(), CHILD, flag], upstream)
}

fn file_of(command: &[&str], upstream: &str) -> Config {
    let command = json!(command);
    Config::parse(&format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[upstream]]\nname = \"a\"\nkind = \"mcp-stdio\"\n\
         command = {command}\n{upstream}"
    ))
    .unwrap()
}

#[tokio::test]
async fn a_limit_that_comes_with_a_reload_counts_for_children_that_run() {
    let file = |more: &str| {
        file(
            "plain",
            &format!("mode = \"shared\"\nmax_connections = 1\n{more}"),
        )
    };
    let server = Server::open(file("")).await.unwrap();
    let client = Client::new(server.mcp_address());
    let first = pid(&client).await;
    for _ in 0..10 {
        assert_eq!(pid(&client).await, first, "nothing is limited");
    }
    let reloaded = server.reload(file("max_uses = 2")).await.unwrap();
    assert_eq!((reloaded.tuned, reloaded.started), (1, 0));
    while pid(&client).await == first {}
    server
        .reload(file("max_lifetime = \"300ms\""))
        .await
        .unwrap();
    let before = recycled(server.admin_address(), "lifetime").await;
    while recycled(server.admin_address(), "lifetime").await == before {}
}

#[tokio::test]
async fn times_that_come_with_a_reload_count_for_shared_children_that_run() {
    let file = |times: &str| {
        file(
            "plain",
            &format!("mode = \"shared\"\nmax_connections = 1\n{times}"),
        )
    };
    let server = Server::open(file("response_timeout = \"300ms\"")).await;
    let server = server.unwrap();
    let client = Client {
        accept: "application/json",
        ..Client::new(server.mcp_address())
    };
    let mut slow = tool(1, "sleep", json!({"ms": 900}));
    slow["params"]["_meta"] = json!({"progressToken": "t"});
    assert_eq!(client.post(&slow).await.kind(), "timed_out");
    let reloaded = server.reload(file("")).await.unwrap();
    assert_eq!((reloaded.tuned, reloaded.started), (1, 0));
    assert_eq!(client.post(&slow).await.text(), "slept");
}

/// Says that it starts, and does so once it may.
const HELD_BACK: &str = r#"touch "$0.begun"; while [ ! -e "$0" ]; do sleep 0.01; done; exec "$@""#;

#[tokio::test]
async fn a_limit_that_comes_with_a_reload_counts_for_a_child_that_starts_meanwhile() {
    let may = std::env::temp_dir().join(marker("held-back"));
    let begun = may.with_file_name(format!("{}.begun", marker("held-back")));
    let place = may.to_str().unwrap();
    let file = |in_flight: u32| {
        let command = ["sh", "-c", HELD_BACK, place, python(), CHILD, "plain"];
        let limits = format!("max_connections = 1\nmax_in_flight = {in_flight}\n");
        file_of(&command, &format!("mode = \"shared\"\n{limits}"))
    };
    std::fs::write(&may, "").unwrap();
    let server = Server::open(file(1)).await.unwrap();
    let client = Client::new(server.mcp_address());
    for mark in [&may, &begun] {
        std::fs::remove_file(mark).unwrap();
    }
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    let hanging = [client.hang(1), client.hang(2)];
    eventually("the next one starts", || begun.exists()).await;
    server.reload(file(2)).await.unwrap();
    std::fs::write(&may, "").unwrap();
    in_flight(&server, 2).await;
    for hanging in hanging {
        hanging.abort();
    }
    for mark in [&may, &begun] {
        std::fs::remove_file(mark).unwrap();
    }
}

#[tokio::test]
async fn subscriptions_keep_no_child_above_a_limit_that_was_lowered() {
    let file = |children: u32| {
        let limits = format!("max_connections = {children}\nmin_idle = {children}\n");
        file("modern", &format!("mode = \"stateless\"\n{limits}"))
    };
    let server = Server::open(file(2)).await.unwrap();
    let client = Client::new(server.mcp_address());
    let children = async || {
        let figures = stats(server.admin_address()).await;
        figures["children"].as_array().unwrap().len()
    };
    while children().await < 2 {}
    let mut streams = Vec::new();
    for id in 0..2 {
        let listen = modern(id, "subscriptions/listen", json!({"notifications": {}}));
        let mut events = client.stream_modern(&listen).await;
        assert!(events.next().await.is_some());
        streams.push(events);
    }
    server.reload(file(1)).await.unwrap();
    let begun = std::time::Instant::now();
    while children().await > 1 {
        assert!(begun.elapsed() < PATIENCE, "both stay");
    }
}

fn stateless(uses: u64) -> ServeOptions {
    ServeOptions {
        max_connections: Some(1),
        max_uses: Some(uses),
        ..options(script("plunge-test", &["modern"]), Mode::Stateless)
    }
}

#[tokio::test]
async fn what_a_client_carries_back_finds_the_child_that_makes_way() {
    let (_server, client) = start_with(stateless(4)).await;
    let mut confirm = modern_tool(1, "confirm", json!({}));
    let begun = client.post_modern(&confirm).await.json();
    let mine = async || {
        let pid = client.post_modern(&modern_tool(2, "pid", json!({}))).await;
        assert_eq!(pid.status, 200, "{pid:?}");
        pid.text()
    };
    let state = begun["result"]["requestState"].clone();
    let first = state.as_str().unwrap().to_owned();
    while mine().await == first {}
    confirm["params"]["requestState"] = state;
    confirm["params"]["inputResponses"] = json!({"sure": true});
    let reply = client.post_modern(&confirm).await;
    assert_eq!(reply.text(), "{\"sure\": true}");
}

#[tokio::test]
async fn children_that_clients_may_come_back_to_never_leave_their_upstream_without_one_that_serves()
{
    let options = ServeOptions {
        min_idle: 0,
        ..stateless(2)
    };
    let (_server, client) = start_with(options).await;
    let begun = std::time::Instant::now();
    // So long that sweeps find it idle, and due.
    while begun.elapsed() < Duration::from_secs(1) {
        let confirm = modern_tool(1, "confirm", json!({}));
        let begun = client.post_modern(&confirm).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        assert!(begun.json()["result"]["requestState"].is_string());
    }
}

#[tokio::test]
async fn a_child_that_makes_way_and_hangs_is_given_up_while_clients_come_back_to_it() {
    let mark = marker("leaves-hung");
    let options = ServeOptions {
        request_timeout: Duration::from_millis(200),
        probe: plunge::resilience::ProbeOptions {
            patience: Duration::from_millis(200),
            ..Default::default()
        },
        ..stateless(4)
    };
    let upstream = plunge::proxy::Upstream::Stdio(script(&mark, &["modern"]));
    let (_server, client) = start_with(ServeOptions {
        upstream,
        ..options
    })
    .await;
    let pid = async || client.post_modern(&modern_tool(2, "pid", json!({}))).await;
    let first = pid().await.text();
    let task = client.post_modern(&modern_tool(1, "task", json!({}))).await;
    let task = task.json()["result"]["taskId"].clone();
    while pid().await.text() == first {}
    let mut freeze = modern_tool(3, "freeze", json!({}));
    freeze["params"]["taskId"] = task.clone();
    assert_eq!(client.post_modern(&freeze).await.kind(), "timed_out");
    let is_there = || processes(&mark).iter().any(|pid| pid.to_string() == first);
    let begun = std::time::Instant::now();
    while is_there() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is kept");
        let poll = modern(4, "tasks/get", json!({"taskId": task}));
        client.post_modern(&poll).await;
    }
}

#[tokio::test]
async fn a_child_serves_on_while_its_successor_hangs_in_its_start() {
    let program = Program::new("stuck-successor");
    let options = ServeOptions {
        max_connections: Some(1),
        max_uses: Some(1),
        connect_timeout: Duration::from_secs(4),
        ..options(program.command(&[]), Mode::Shared)
    };
    let (_server, client) = start_with(options).await;
    program.replace("#!/bin/sh\nexec sleep 1000\n");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        callers.spawn(async move { pid(&client).await });
    }
    let pids = callers.join_all().await;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
}

#[tokio::test]
async fn a_subscription_moves_to_the_child_that_takes_over() {
    let (_server, client) = start_with(stateless(4)).await;
    let wants = json!({"notifications": {"toolsListChanged": true}});
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", wants))
        .await;
    let mut told = Vec::new();
    told.push(events.next().await.unwrap());
    for id in 0..8 {
        let reply = client
            .post_modern(&modern_tool(id, "echo", json!({})))
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    told.push(events.next().await.unwrap());
    let methods: Vec<&Value> = told.iter().map(|message| &message["method"]).collect();
    assert_eq!(
        methods,
        [
            "notifications/subscriptions/acknowledged",
            "notifications/tools/list_changed"
        ]
    );
}

#[tokio::test]
async fn a_cancellation_finds_a_child_that_makes_way() {
    let options = ServeOptions {
        max_connections: Some(1),
        max_uses: Some(2),
        ..options(script("plunge-test", &[]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let hanging = session.hang(1);
    in_flight(&server, 1).await;
    for id in 2..8 {
        assert_eq!(session.post(&tool(id, "echo", json!({}))).await.status, 200);
    }
    in_flight(&server, 1).await;
    session.cancel(1).await;
    assert_eq!(hanging.await.unwrap().kind(), "cancelled");
}
