//! Children that die, hang, babble: what their clients see.

use std::time::Duration;

use plunge::proxy::Mode;
use serde_json::json;

use crate::client::tool;
use crate::fixture::{eventually, marker, options, processes, script, start, start_with, stats};
use crate::program::Program;

#[tokio::test]
async fn a_death_in_mid_call_is_a_typed_error_and_the_next_session_works() {
    let (server, client) = start(Mode::Session).await;
    for way in ["die", "close_stdout"] {
        let (session, other) = (client.begin().await, client.begin().await);
        let reply = session.call(1, way, json!({})).await;
        assert_eq!(
            (reply.kind().as_str(), reply.json()["id"].as_i64()),
            ("child_died", Some(1))
        );
        assert_eq!(session.call(2, "echo", json!({})).await.status, 404);
        assert_eq!(other.call(1, "echo", json!({})).await.status, 200);
        assert_eq!(
            client.begin().await.call(1, "echo", json!({})).await.status,
            200
        );
    }
    // One of them does not read its input: it must not outlive this program.
    drop(server);
    plunge::transport::Subprocess::settled().await;
}

#[tokio::test]
async fn a_killed_child_is_noticed_by_its_waiting_client_at_once() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let pid: i32 = session
        .call(1, "pid", json!({}))
        .await
        .text()
        .parse()
        .unwrap();
    let mut events = session.stream(&tool(2, "ask", json!({}))).await;
    assert_eq!(events.next().await.unwrap()["id"], "question");
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["id"], &event["error"]["data"]["kind"]),
        (&json!(2), &json!("child_died"))
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_shared_childs_death_fails_what_is_in_flight_and_the_next_call_gets_a_fresh_one() {
    let mark = marker("shared-death");
    let mut options = options(script(&mark, &[]), Mode::Shared);
    options.max_connections = Some(1);
    let (server, client) = start_with(options).await;
    let first = client.call(1, "pid", json!({})).await.text();
    for _ in 0..3 {
        let dying = client.call(2, "die", json!({})).await;
        assert_eq!(
            (dying.kind().as_str(), dying.json()["id"].as_i64()),
            ("child_died", Some(2))
        );
        assert_eq!(client.call(3, "echo", json!({})).await.status, 200);
    }
    assert_ne!(client.call(4, "pid", json!({})).await.text(), first);
    eventually("one child is left", || processes(&mark).len() == 1).await;
    let pool = &stats(server.admin_address()).await["pool"];
    assert_eq!(
        (pool["open"].as_u64(), pool["opened"].as_u64()),
        (Some(1), Some(4))
    );
}

#[tokio::test]
async fn readiness_is_gone_with_the_last_child_that_could_serve() {
    let program = Program::new("ready");
    let (server, client) = start_with(options(program.command(&[]), Mode::Shared)).await;
    let ready = async || {
        let admin = crate::client::Client::new(server.admin_address());
        admin
            .open(hyper::Method::GET, "/readyz", Default::default())
            .await
            .status()
            .as_u16()
    };
    assert_eq!(ready().await, 200);
    program.take_away();
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    let refused = client.call(2, "echo", json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (503, "no_child")
    );
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no such program")
    );
    assert_eq!(ready().await, 503);
}

#[tokio::test]
async fn silence_is_504_and_the_child_is_told() {
    for mode in [Mode::Session, Mode::Shared] {
        let mut options = options(script("plunge-test", &[]), mode);
        options.max_connections = Some(2);
        options.request_timeout = Duration::from_millis(150);
        let (_server, client) = start_with(options).await;
        let session = client.begin().await;
        let reply = session.call("slow", "hang", json!({})).await;
        assert_eq!(
            (
                reply.status.as_u16(),
                reply.kind().as_str(),
                &reply.json()["id"]
            ),
            (504, "timed_out", &json!("slow"))
        );
        let told = session.call(2, "cancelled", json!({})).await.text();
        assert!(told.contains("timed out"), "{told}");
    }
}

#[tokio::test]
async fn noise_late_answers_and_second_answers_are_survived() {
    for mode in [Mode::Session, Mode::Shared] {
        let (_server, client) = start(mode).await;
        let session = client.begin().await;
        assert_eq!(session.call(1, "noise", json!({})).await.text(), "survived");
        assert_eq!(session.call(2, "twice", json!({})).await.text(), "first");
        // Ids of a session are relayed as they are, so there a client has to take a new one.
        let next = if mode == Mode::Shared { 2 } else { 3 };
        let still = session.call(next, "echo", json!({"still": true})).await;
        assert_eq!(still.text(), "{\"still\": true}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_ends_its_request_at_once() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive, Mode::Oneshot] {
        let (_server, client) = start(mode).await;
        let session = client.begin_in(mode).await;
        let broken = [
            r#"{"jsonrpc":"2.0","id":ID}"#,
            r#"{"jsonrpc":"2.0","id":ID,"result":{},"error":{"code":1,"message":"both"}}"#,
            r#"{"id":ID,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":ID,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":ID,"error":null}"#,
            r#"{"jsonrpc":"2.0","id":ID,"method":"tools/call","result":{}}"#,
        ];
        for (id, line) in (1..).zip(broken) {
            let reply = session.call(id, "broken", json!({"line": line})).await;
            let said = (reply.status.as_u16(), reply.kind());
            let expected = (502, String::from("upstream_failed"));
            assert_eq!(said, expected, "{mode:?}: {line}");
            assert_eq!(reply.json()["id"], id);
        }
        let still = session.call(9, "echo", json!({"still": true})).await;
        assert_eq!(still.text(), "{\"still\": true}");
    }
}

#[tokio::test]
async fn a_null_beside_what_an_answer_says_does_not_reach_the_client() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive, Mode::Oneshot] {
        let (_server, client) = start(mode).await;
        let session = client.begin_in(mode).await;
        let answers = [
            r#"{"jsonrpc":"2.0","id":ID,"result":{"is":1},"error":null}"#,
            r#"{"jsonrpc":"2.0","result":null,"id":ID,"error":{"code":1,"message":"no"}}"#,
        ];
        let wanted = [
            json!({"jsonrpc": "2.0", "id": 1, "result": {"is": 1}}),
            json!({"jsonrpc": "2.0", "id": 2, "error": {"code": 1, "message": "no"}}),
        ];
        for ((id, line), wanted) in (1..).zip(answers).zip(wanted) {
            let reply = session.call(id, "broken", json!({"line": line})).await;
            let said = (reply.status.as_u16(), reply.json());
            assert_eq!(said, (200, wanted), "{mode:?}");
        }
    }
}

#[tokio::test]
async fn a_child_that_ends_at_its_start_is_told_of_and_nobody_is_to_send_anything_again() {
    for mode in [Mode::Shared, Mode::Stateless, Mode::Exclusive] {
        let program = Program::new("ends-at-start");
        program.replace("#!/bin/sh\nread line; exit 3\n");
        let started = plunge::proxy::Server::start(options(program.command(&[]), mode));
        let error = started.await.err().unwrap().to_string();
        assert!(error.contains("standard error"), "{error}");
        assert!(!error.contains("request again"), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_is_missing_or_says_no_is_named_at_the_start() {
    let missing = plunge::transport::Command::new("no-such-program-anywhere");
    for mode in [Mode::Session, Mode::Shared] {
        let error = plunge::proxy::Server::start(options(missing.clone(), mode))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("no-such-program-anywhere") && error.contains("install it"),
            "{error}"
        );
    }
    let mark = marker("refusing");
    let error = plunge::proxy::Server::start(options(script(&mark, &["refuse"]), Mode::Shared))
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("not today"), "{error}");
    eventually("no child is left", || processes(&mark).is_empty()).await;
}

#[tokio::test]
async fn a_child_that_hangs_in_its_start_is_given_up_in_its_time() {
    let program = Program::new("hangs-at-start");
    let mut options = options(program.command(&[]), Mode::Shared);
    (options.max_connections, options.connect_timeout) = (Some(1), Duration::from_secs(3));
    let (_server, client) = start_with(options).await;
    program.replace("#!/bin/sh\nexec sleep 1000\n");
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    let refused = client.call(2, "echo", json!({})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (503, "no_child")
    );
    assert!(refused.headers.contains_key("retry-after"));
}
