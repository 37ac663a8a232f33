//! Upstreams in trouble: what hangs is replaced, what fails is left alone, what is safe is tried again.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use plunge::resilience::{BreakerOptions, ProbeOptions};
use serde_json::json;

use crate::client::{initialize, modern, modern_tool, request, tool};
use crate::fixture::{PATIENCE, eventually, marker, options, processes, script, start_with, stats};
use crate::program::Program;

/// Options under which a child that hangs is given up in a moment.
fn impatient(mark: &str, mode: Mode) -> ServeOptions {
    ServeOptions {
        max_connections: Some(1),
        request_timeout: Duration::from_millis(200),
        probe: ProbeOptions {
            patience: Duration::from_millis(200),
            ..ProbeOptions::default()
        },
        ..options(script(mark, &[]), mode)
    }
}

#[tokio::test]
async fn a_shared_child_that_hangs_is_replaced_and_leaves_no_process() {
    let mark = marker("hung-shared");
    let (server, client) = start_with(impatient(&mark, Mode::Shared)).await;
    let first = client.call(1, "pid", json!({})).await.text();
    let hanging = client.call(2, "freeze", json!({})).await;
    assert_eq!(hanging.kind(), "timed_out");
    loop {
        let reply = client.call(3, "pid", json!({})).await;
        if reply.status == 200 && reply.json()["error"].is_null() {
            assert_ne!(reply.text(), first);
            break;
        }
    }
    eventually("one child is left", || processes(&mark).len() == 1).await;
    let figures = stats(server.admin_address()).await;
    assert_eq!(figures["upstream"]["ejected"], 1);
    assert_eq!(figures["pool"]["open"], 1);
}

#[tokio::test]
async fn a_session_whose_child_hangs_ends_and_leaves_no_process() {
    let mark = marker("hung-session");
    let (server, client) = start_with(impatient(&mark, Mode::Session)).await;
    let session = client.begin().await;
    assert_eq!(
        session.call(1, "freeze", json!({})).await.kind(),
        "timed_out"
    );
    while session.call(2, "pid", json!({})).await.status != 404 {}
    // One child is allowed: a new session gets it only if the one that hung is gone.
    assert_eq!(
        client.begin().await.call(1, "echo", json!({})).await.status,
        200
    );
    eventually("one child is left", || processes(&mark).len() == 1).await;
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["ejected"],
        1
    );
}

#[tokio::test]
async fn a_child_that_is_only_slow_is_kept() {
    let (server, client) = start_with(impatient("plunge-test", Mode::Shared)).await;
    let pid = client.call(1, "pid", json!({})).await.text();
    for id in 2..8 {
        assert_eq!(client.call(id, "hang", json!({})).await.kind(), "timed_out");
        assert_eq!(client.call(9, "pid", json!({})).await.text(), pid);
    }
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["ejected"],
        0
    );
}

#[tokio::test]
async fn a_server_that_takes_long_to_begin_may_not_be_as_long_silent_after_that() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let options = ServeOptions {
            response_timeout: Duration::from_millis(200),
            ..options(script("plunge-test", &[]), mode)
        };
        let (_server, client) = start_with(options).await;
        let session = client.begin().await;
        let slept = session.call(1, "sleep", json!({"ms": 600})).await;
        assert_eq!(slept.text(), "slept", "{mode:?}");
        let mut began = tool(2, "sleep", json!({"ms": 20_000}));
        began["params"]["_meta"] = json!({"progressToken": "t"});
        let mut events = session.stream(&began).await;
        assert_eq!(events.next().await.unwrap()["params"]["progress"], 0);
        let last = events.next().await.unwrap();
        assert_eq!(last["error"]["data"]["kind"], "timed_out", "{mode:?}");
    }
}

#[tokio::test]
async fn progress_keeps_a_call_alive_up_to_the_cap_of_its_response() {
    for mode in [Mode::Session, Mode::Shared] {
        let options = ServeOptions {
            response_timeout: Duration::from_millis(300),
            response_cap: Duration::from_millis(900),
            ..options(script("plunge-test", &[]), mode)
        };
        let (_server, client) = start_with(options).await;
        let session = client.begin().await;
        let mut message = tool(1, "endless", json!({}));
        message["params"]["_meta"] = json!({"progressToken": "t"});
        let begun = std::time::Instant::now();
        let mut events = session.stream(&message).await;
        let last = loop {
            let event = events.next().await.unwrap();
            if event["id"] == 1 {
                break event;
            }
        };
        assert_eq!(last["error"]["data"]["kind"], "timed_out");
        assert!(
            begun.elapsed() >= Duration::from_millis(900),
            "progress counted"
        );
    }
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_sent_again_when_its_child_dies() {
    let (server, client) = start_with(options(script("plunge-test", &[]), Mode::Shared)).await;
    let path = std::env::temp_dir().join(marker("die-once"));
    let uri = format!("die-once:{}", path.display());
    let reply = client
        .post(&request(7, "resources/read", json!({"uri": uri})))
        .await;
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["id"]),
        (200, &json!(7))
    );
    assert!(reply.json()["result"]["contents"][0]["text"].is_string());
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["retried"],
        1
    );
    // A tool may have done something: never again.
    assert_eq!(client.call(8, "die", json!({})).await.kind(), "child_died");
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["retried"],
        1
    );
}

#[tokio::test]
async fn a_read_without_a_session_is_not_sent_again() {
    let (_server, client) = start_with(options(script("plunge-test", &[]), Mode::Stateless)).await;
    let path = std::env::temp_dir().join(marker("die-once-modern"));
    let uri = format!("die-once:{}", path.display());
    let read = modern(7, "resources/read", json!({"uri": uri}));
    let reply = client.post_modern(&read).await;
    assert_eq!(reply.kind(), "child_died", "it may be one round of several");
    let again = client.post_modern(&read).await;
    std::fs::remove_file(&path).unwrap();
    assert!(again.json()["result"]["contents"][0]["text"].is_string());
}

#[tokio::test]
async fn an_upstream_that_only_fails_is_left_alone_and_tried_by_one_probe() {
    let program = Program::new("breaker");
    let options = ServeOptions {
        breaker: BreakerOptions {
            failures: 3,
            cooldown: Duration::from_millis(1500),
            ..BreakerOptions::default()
        },
        ..options(program.command(&[]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    program.take_away();
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some("circuit_open") {
        let name = if kinds.is_empty() { "die" } else { "echo" };
        let reply = client.call(1, name, json!({})).await;
        if reply.kind() == "circuit_open" {
            assert_eq!(reply.status, 503);
            assert_eq!(reply.headers["retry-after"], "2");
        }
        kinds.push(reply.kind());
    }
    assert_eq!(
        kinds,
        ["child_died", "no_child", "no_child", "circuit_open"]
    );
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_ne!(upstream["breaker"], "closed");
    assert_eq!(upstream["times_opened"], 1);
    program.bring_back();
    let begun = std::time::Instant::now();
    let reply = loop {
        let reply = client.call(2, "echo", json!({})).await;
        if reply.status == 200 {
            break reply;
        }
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
    };
    assert_eq!(reply.json()["id"], 2);
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["breaker"],
        "closed"
    );
}

#[tokio::test]
async fn a_child_that_dies_is_one_failure_however_many_requests_it_had() {
    let mark = marker("lost-together");
    let options = ServeOptions {
        max_connections: Some(1),
        breaker: BreakerOptions {
            failures: 3,
            ..BreakerOptions::default()
        },
        ..options(script(&mark, &[]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    let mut lost = tokio::task::JoinSet::new();
    for id in 0..8 {
        let client = client.clone();
        lost.spawn(async move { client.call(id, "hang", json!({})).await.kind() });
    }
    while stats(server.admin_address()).await["children"][0]["in_flight"] != 8 {}
    assert_eq!(client.call(8, "die", json!({})).await.kind(), "child_died");
    let kinds = lost.join_all().await;
    assert!(kinds.iter().all(|kind| kind == "child_died"), "{kinds:?}");
    assert_eq!(client.call(9, "echo", json!({})).await.status, 200);
    assert_eq!(
        stats(server.admin_address()).await["upstream"]["times_opened"],
        0
    );
}

fn soon_open(command: plunge::transport::Command, mode: Mode) -> ServeOptions {
    ServeOptions {
        min_idle: 0,
        breaker: BreakerOptions {
            failures: 3,
            ..BreakerOptions::default()
        },
        ..options(command, mode)
    }
}

#[tokio::test]
async fn calls_of_sessions_that_fail_keep_new_sessions_away_and_none_that_lives() {
    let options = soon_open(script("plunge-test", &[]), Mode::Session);
    let (server, client) = start_with(options).await;
    let lives = client.begin().await;
    for id in 0..3 {
        let session = client.begin().await;
        assert_eq!(
            session.call(id, "die", json!({})).await.kind(),
            "child_died"
        );
    }
    let refused = client.post(&crate::client::initialize("2025-11-25")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (503, "circuit_open")
    );
    assert_eq!(lives.call(1, "echo", json!({})).await.status, 200);
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["times_opened"], 1);
    // One is let through to see.
    while client
        .post(&crate::client::initialize("2025-11-25"))
        .await
        .status
        != 200
    {}
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["breaker"], "closed");
}

#[tokio::test]
async fn calls_of_sessions_that_time_out_count_and_a_client_that_is_slow_to_answer_does_not() {
    let options = ServeOptions {
        request_timeout: Duration::from_millis(100),
        response_timeout: Duration::from_millis(100),
        call_timeout: Duration::from_millis(400),
        ..soon_open(script("plunge-test", &[]), Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    for id in 0..4 {
        // Its client is asked, and never answers.
        let reply = session.call(id, "ask", json!({"id": id})).await;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(said.contains("timed_out"), "{said}");
    }
    let opened = async || stats(server.admin_address()).await["upstream"]["times_opened"].clone();
    assert_eq!(opened().await, 0);
    for id in 4..7 {
        let session = client.begin().await;
        assert_eq!(
            session.call(id, "hang", json!({})).await.kind(),
            "timed_out"
        );
    }
    assert_eq!(opened().await, 1);
}

#[tokio::test]
async fn starts_that_fail_are_not_made_good_by_sessions_that_work() {
    let program = Program::new("starts-fail");
    let (_server, client) = start_with(soon_open(program.command(&[]), Mode::Session)).await;
    let session = client.begin().await;
    program.take_away();
    let mut kinds = Vec::new();
    while kinds.last().map(String::as_str) != Some("circuit_open") {
        assert!(kinds.len() < 10, "{kinds:?}");
        kinds.push(
            client
                .post(&crate::client::initialize("2025-11-25"))
                .await
                .kind(),
        );
        assert_eq!(session.call(1, "echo", json!({})).await.status, 200);
    }
    assert_eq!(kinds[..3], ["no_child", "no_child", "no_child"]);
}

#[tokio::test]
async fn that_every_child_has_a_session_is_no_failure_of_the_server() {
    let options = ServeOptions {
        max_connections: Some(1),
        acquire_timeout: Duration::from_millis(20),
        ..soon_open(script("plunge-test", &[]), Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let _session = client.begin().await;
    for _ in 0..5 {
        let refused = client.post(&crate::client::initialize("2025-11-25")).await;
        assert_eq!(refused.kind(), "busy");
    }
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["times_opened"], 0);
}

#[tokio::test]
async fn starts_that_fail_open_the_breaker_for_clients_without_a_handshake_too() {
    for mode in [Mode::Stateless, Mode::Exclusive, Mode::Shared] {
        let program = Program::new(&format!("modern-starts-{}", mode.as_str()));
        let mut options = soon_open(program.command(&[]), mode);
        options.max_connections = Some(1);
        let (server, client) = start_with(options).await;
        program.take_away();
        let begun = std::time::Instant::now();
        let call = modern_tool(1, "die", json!({}));
        while client.post_modern(&call).await.kind() != "circuit_open" {
            assert!(begun.elapsed() < PATIENCE, "{mode:?}");
        }
        if mode != Mode::Exclusive {
            // There it is known what to answer.
            let refused = client.post(&initialize("2025-11-25")).await;
            assert_eq!(refused.kind(), "circuit_open", "{mode:?}");
        }
        drop(server);
    }
}
