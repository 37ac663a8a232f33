//! `oneshot` mode: programs that answer one request and exit.

use std::time::Duration;

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions};
use plunge::transport::Command;
use serde_json::json;

use crate::client::{initialize, modern, request};
use crate::fixture::{
    eventually, in_flight, marker, options, processes, python, start_with, stats,
};

/// Answers its one line with what it got, then does what the line asks.
const PROGRAM: &str = r#"
import json, os, sys, time
message = json.loads(sys.stdin.readline())
rest = sys.stdin.read()
way = message["method"]
if way == "die":
    os._exit(3)
if way == "hang":
    time.sleep(600)
if way == "slow":
    time.sleep(0.3)
if way == "tell":
    print(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1}}), flush=True)
end = "" if way == "unended" else "\n"
print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"pid": os.getpid(), "rest": rest}}), end=end, flush=True)
if way == "linger":
    time.sleep(600)
"#;

fn oneshot(mark: &str, children: u32) -> ServeOptions {
    let command = Command::new(python())
        .args(["-c", PROGRAM, mark])
        .eof_grace(Duration::from_millis(200))
        .term_grace(Duration::from_millis(200));
    ServeOptions {
        max_connections: Some(children),
        ..options(command, Mode::Oneshot)
    }
}

#[tokio::test]
async fn each_request_has_a_process_of_its_own_that_is_reaped() {
    let mark = marker("oneshot");
    let (server, client) = start_with(oneshot(&mark, 4)).await;
    let mut pids = std::collections::HashSet::new();
    for id in 0..10 {
        let reply = client.post(&request(id, "anything", json!({}))).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["id"]),
            (200, &json!(id))
        );
        assert_eq!(
            reply.json()["result"]["rest"],
            "",
            "its input ends after the request"
        );
        assert!(pids.insert(reply.json()["result"]["pid"].as_u64()));
    }
    let reply = client.post(&initialize("2025-11-25")).await;
    assert!(
        reply.json()["result"]["pid"].is_u64(),
        "`initialize` is a request like any other"
    );
    assert!(!reply.headers.contains_key("mcp-session-id"));
    for method in [Method::GET, Method::DELETE] {
        let reply = client.send(method, "").await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["allow"]),
            (405, &"POST".parse().unwrap())
        );
    }
    let old = client.open(Method::GET, "/sse", Default::default()).await;
    assert_eq!(old.status(), 404);
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn answers_without_a_line_end_and_messages_before_them_arrive() {
    let (_server, client) = start_with(oneshot("plunge-test", 2)).await;
    let reply = client.post(&request("x", "unended", json!({}))).await;
    assert_eq!(reply.json()["id"], "x");
    let told = request(1, "tell", json!({"_meta": {"progressToken": 7}}));
    let mut events = client.stream(&told).await;
    assert_eq!(events.next().await.unwrap()["params"]["progressToken"], 7);
    assert_eq!(events.next().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn what_dies_is_a_typed_error_and_what_lingers_is_ended() {
    let mark = marker("oneshot-ends");
    let mut options = oneshot(&mark, 2);
    (options.request_timeout, options.min_idle) = (Duration::from_millis(1000), 0);
    let (server, client) = start_with(options).await;
    let died = client.post(&request(1, "die", json!({}))).await;
    assert_eq!(
        (died.status.as_u16(), died.kind().as_str()),
        (200, "child_died")
    );
    let hung = client.post(&request(2, "hang", json!({}))).await;
    assert_eq!(
        (hung.status.as_u16(), hung.kind().as_str()),
        (504, "timed_out")
    );
    for id in 3..6 {
        let reply = client.post(&request(id, "linger", json!({}))).await;
        assert_eq!(reply.json()["id"], id);
    }
    let told = json!({"jsonrpc": "2.0", "method": "notifications/anything"});
    assert_eq!(client.post(&told).await.status, 202);
    eventually("those that linger are ended", || {
        processes(&mark).len() <= 1
    })
    .await;
    assert!(stats(server.admin_address()).await["pool"]["open"].as_u64() <= Some(2));
    // The last one lingers still, and this process is its keeper.
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn a_client_without_a_session_that_leaves_ends_its_process_and_none_may_listen() {
    let mark = marker("oneshot-left");
    let mut options = oneshot(&mark, 1);
    options.min_idle = 0;
    let (server, client) = start_with(options).await;
    let waiting = client.start_modern(modern(1, "hang", json!({})));
    in_flight(&server, 1).await;
    waiting.abort();
    eventually("its process is gone", || processes(&mark).is_empty()).await;
    let listens = modern(2, "subscriptions/listen", json!({}));
    let refused = client.post_modern(&listens).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (404, "not_offered")
    );
    assert_eq!(refused.json()["error"]["code"], -32601);
    let served = client.post_modern(&modern(3, "any", json!({}))).await;
    assert!(served.json()["result"]["pid"].is_u64(), "{served:?}");
}

#[tokio::test]
async fn the_time_in_line_is_none_of_the_time_for_an_answer() {
    let mut options = oneshot("plunge-test", 1);
    (options.request_timeout, options.acquire_timeout) =
        (Duration::from_secs(2), Duration::from_secs(20));
    options.min_idle = 0;
    let (server, client) = start_with(options).await;
    let hanging = client.start(request(1, "hang", json!({})));
    in_flight(&server, 1).await;
    // The one before it has to run into the same time-out before it gets a process.
    let reply = client.post(&request(2, "slow", json!({}))).await;
    assert_eq!(reply.json()["id"], 2);
    assert!(reply.json()["result"]["pid"].is_u64(), "{reply:?}");
    assert_eq!(hanging.await.unwrap().kind(), "timed_out");
}
