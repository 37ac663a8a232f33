//! Children that do not read their input, or say nothing: who waits for them is told so in time, and they are replaced.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use plunge::resilience::ProbeOptions;
use serde_json::{Value, json};

use crate::client::{Client, Reply, tool};
use crate::fixture::{PATIENCE, eventually, marker, options, processes, script, start_with, stats};

/// More than a pipe holds.
const LONG: usize = 1 << 20;

/// One child, which is given up in a moment.
fn impatient(mark: &str, flags: &[&str], mode: Mode) -> ServeOptions {
    ServeOptions {
        max_connections: Some(1),
        request_timeout: Duration::from_millis(200),
        probe: ProbeOptions {
            patience: Duration::from_millis(200),
            ..ProbeOptions::default()
        },
        ..options(script(mark, flags), mode)
    }
}

fn long(id: u32) -> Value {
    tool(id, "echo", json!({"text": "x".repeat(LONG)}))
}

fn is_timed_out(reply: &Reply, id: u32, mode: Mode) {
    let said = reply.json();
    let error = &said["error"];
    let expected = (504, &json!(id), &json!(-32054), &json!("timed_out"));
    let (code, kind) = (&error["code"], &error["data"]["kind"]);
    let found = (reply.status.as_u16(), &said["id"], code, kind);
    assert_eq!(found, expected, "{mode:?}");
}

/// A client that is served by another child than this one.
async fn served_by_another(client: &Client, mode: Mode, pid: &str) -> Client {
    let begun = std::time::Instant::now();
    let client = match mode {
        Mode::Session => client.begin().await,
        _ => client.clone(),
    };
    loop {
        // Until the old one is given up it is asked, too.
        let reply = client.call(9, "pid", json!({})).await;
        if reply.json()["result"].is_object() {
            assert_ne!(reply.text(), pid, "{mode:?}");
            return client;
        }
        assert!(begun.elapsed() < PATIENCE, "{mode:?}: {reply:?}");
    }
}

/// What is there when nothing is under way.
async fn is_at_rest(admin: std::net::SocketAddr, mark: &str, mode: Mode) {
    eventually("one child is left", || processes(mark).len() == 1).await;
    let figures = stats(admin).await;
    let pool = &figures["pool"];
    let counts = ["open", "waiting", "connecting"].map(|name| pool[name].as_u64().unwrap());
    assert_eq!(counts, [1, 0, 0], "{mode:?}: {pool}");
    for child in figures["children"].as_array().into_iter().flatten() {
        assert_eq!(child["in_flight"], 0, "{mode:?}");
    }
}

#[tokio::test]
async fn a_request_that_a_child_does_not_read_is_timed_out_and_the_child_replaced() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let mark = marker(&format!("unread-{mode:?}"));
        let (server, client) = start_with(impatient(&mark, &[], mode)).await;
        let session = client.begin().await;
        let pid = session.call(1, "pid", json!({})).await.text();
        assert_eq!(session.call(2, "deaf", json!({})).await.text(), "deaf");
        is_timed_out(&session.post(&long(3)).await, 3, mode);
        let begun = std::time::Instant::now();
        while mode == Mode::Session && session.call(4, "pid", json!({})).await.status != 404 {
            assert!(begun.elapsed() < PATIENCE, "the session goes on");
        }
        let next = served_by_another(&client, mode, &pid).await;
        let echoed = next.post(&long(5)).await;
        assert!(echoed.body.len() > LONG, "{mode:?}");
        is_at_rest(server.admin_address(), &mark, mode).await;
    }
}

#[tokio::test]
async fn a_request_that_a_process_of_its_own_does_not_read_is_timed_out_and_leaves_none() {
    let (mark, mode) = (marker("unread-oneshot"), Mode::Oneshot);
    let (server, client) = start_with(impatient(&mark, &["deaf"], mode)).await;
    for id in 1..4 {
        is_timed_out(&client.post(&long(id)).await, id, mode);
    }
    is_at_rest(server.admin_address(), &mark, mode).await;
}

#[tokio::test]
async fn a_request_that_gets_no_first_byte_is_timed_out_and_its_place_is_free() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let mark = marker(&format!("silent-{mode:?}"));
        let (server, client) = start_with(impatient(&mark, &[], mode)).await;
        let session = client.begin().await;
        for id in 1..4 {
            is_timed_out(&session.call(id, "hang", json!({})).await, id, mode);
        }
        is_at_rest(server.admin_address(), &mark, mode).await;
    }
}
