//! Streams of MCP servers over HTTP that break: what goes on behind them, what is told, what ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::client::{Client, Events, modern, request, tool};
use crate::fixture::{eventually, in_flight, start_with};
use crate::remote::{before, quick};
use crate::upstream::{Act, Seen, Stage, message};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

fn log(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": text}})
}

#[tokio::test]
async fn an_answer_whose_stream_broke_goes_on_behind_its_last_event() {
    let stage = Stage::open(|seen| {
        match (
            seen.method.as_str(),
            seen.asks(),
            seen.header("last-event-id"),
        ) {
            ("POST", "tools/call", _) => Some(Act::Stream(
                format!("retry: 1\nid: a-1\n{}", message(&log("first"))),
                true,
            )),
            // The first was for the session's own stream.
            ("GET", _, Some("a-1")) if seen.nth == 1 => Some(Act::status(503)),
            ("GET", _, Some("a-1")) if seen.nth == 2 => Some(Act::status(409)),
            ("GET", _, Some("a-1")) => {
                let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
                let events = [
                    format!("id: a-1\n{}", message(&log("first"))),
                    format!("id: a-2\n{}", message(&log("second"))),
                    format!("id: a-3\n{}", message(&answer)),
                ];
                Some(Act::Stream(events.concat(), true))
            }
            _ => None,
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    // The session's own stream was refused: what has an id is the request's.
    let own = |seen: &Seen| seen.method == "GET" && seen.header("last-event-id").is_none();
    eventually("its own stream was asked for", || {
        stage.seen(own).len() == 1
    })
    .await;
    let mut events = session.stream(&tool(7, "any", json!({}))).await;
    let mut said = Vec::new();
    while let Some(message) = events.next().await {
        said.push(message);
    }
    assert_eq!(said[..2], [log("first"), log("second")]);
    assert_eq!((said.len(), &said[2]["id"]), (3, &json!(7)));
    assert_eq!(
        stage.seen(|seen| seen.asks() == "tools/call").len(),
        1,
        "asked once"
    );
}

#[tokio::test]
async fn a_stream_whose_answer_cannot_be_read_is_not_asked_for_again() {
    let stage = Stage::open(|seen| {
        let mut broken = seen.result(json!({}));
        broken["error"] = json!({"code": 1, "message": "both"});
        let events = format!("retry: 1\nid: a-1\n{}", message(&broken));
        match (seen.method.as_str(), seen.asks()) {
            ("POST", "tools/call") => Some(Act::Stream(events, true)),
            ("GET", _) => Some(Act::Stream(String::new(), true)),
            _ => None,
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    let reply = client.call(1, "any", json!({})).await;
    assert_eq!(reply.kind(), "upstream_failed");
    let behind = |seen: &Seen| seen.header("last-event-id").is_some();
    for id in 0..50 {
        client.post(&request(id, "ping", json!({}))).await;
    }
    assert!(stage.seen(behind).is_empty());
}

#[tokio::test]
async fn a_call_whose_stream_broke_into_a_session_that_is_forgotten_ends_at_once() {
    let stage = Stage::open(|seen| {
        if seen.header("mcp-session-id") != Some("s-0") {
            return None;
        }
        match (seen.method.as_str(), seen.asks()) {
            ("POST", "tools/call") => {
                Some(Act::Stream("retry: 1\nid: a-1\ndata:\n\n".into(), true))
            }
            ("GET", _) if seen.header("last-event-id").is_some() => Some(Act::status(404)),
            _ => None,
        }
    })
    .await;
    let (server, client) = before(&stage, Mode::Shared).await;
    let call = client.call(1, "any", json!({}));
    let reply = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert_eq!(reply.expect("it is told").kind(), "child_died");
    assert_eq!(client.call(2, "any", json!({})).await.text(), "called");
    in_flight(&server, 0).await;
}

#[tokio::test]
async fn a_stream_without_ids_that_broke_is_a_typed_error_and_the_session_goes_on() {
    let stage = Stage::open(|seen| {
        let breaks = seen.body["params"]["name"] == "break";
        breaks.then(|| Act::Stream(message(&log("first")), true))
    })
    .await;
    let (_server, mut client) = before(&stage, Mode::Session).await;
    client.accept = "application/json";
    let session = client.begin().await;
    let reply = session.call(1, "break", json!({})).await;
    assert_eq!(reply.kind(), "child_died");
    assert_eq!(session.call(2, "any", json!({})).await.text(), "called");
}

#[tokio::test]
async fn the_sessions_own_stream_comes_back_and_brings_each_message_once() {
    let stage = Stage::open(|seen| {
        if seen.method != "GET" {
            return None;
        }
        Some(match seen.nth {
            0 => Act::status(503),
            1 => Act::Stream(format!("retry: 1\nid: 1\n{}", message(&log("1"))), true),
            2 => Act::Drop,
            3 => Act::status(500),
            4 => Act::status(409),
            5 => Act::Stream(
                format!(
                    "id: 2\n{}: comment\n\nid: 3\n{}",
                    message(&log("2")),
                    message(&log("3"))
                ),
                true,
            ),
            _ => Act::Stream(String::new(), false),
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let mut events = session.listen().await;
    for text in ["1", "2", "3"] {
        assert_eq!(events.next().await.unwrap(), log(text));
    }
    let asked = |seen: &Seen| seen.method == "GET";
    eventually("it stands", || stage.seen(asked).len() == 7).await;
    let behind: Vec<_> = stage
        .seen(asked)
        .iter()
        .map(|seen| seen.header("last-event-id").map(str::to_owned))
        .collect();
    let first = Some("1");
    let wanted = [None, None, first, first, first, first, Some("3")];
    assert_eq!(behind, wanted.map(|id| id.map(str::to_owned)));
}

#[tokio::test]
async fn an_event_that_is_too_long_or_a_place_that_is_not_taken_keeps_nothing_back() {
    let stage = Stage::open(|seen| {
        if seen.method != "GET" {
            return None;
        }
        let long = message(&log(&"x".repeat(5000)));
        let say = |id: u32| format!("retry: 1\nid: {id}\n{}", message(&log(&id.to_string())));
        Some(match (seen.nth, seen.header("last-event-id")) {
            (0, None) => Act::Stream(format!("{}id: 2\n{long}", say(1)), true),
            (1, Some("2")) => Act::Stream(format!("{}{long}", say(3)), true),
            // The long one had no id to go on behind.
            (2, None) => Act::Stream(say(4), true),
            (3, Some("4")) => Act::status(400),
            (4, None) => Act::Stream(say(5), false),
            _ => Act::Silence,
        })
    })
    .await;
    let options = ServeOptions {
        max_body_bytes: 2000,
        ..quick(&stage, Mode::Session)
    };
    let (_server, client) = start_with(options).await;
    let session = client.begin().await;
    let mut events = session.listen().await;
    for text in ["1", "3", "4", "5"] {
        assert_eq!(events.next().await.unwrap(), log(text));
    }
}

#[tokio::test]
async fn a_subscription_whose_stream_broke_is_asked_for_again_and_all_of_it_told_once() {
    let asked = AtomicUsize::new(0);
    let stage = Stage::open(move |seen| {
        let tag = json!({TAG: seen.body["id"]});
        let tell = |method: &str, params: Value| {
            message(&json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params}))
        };
        let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]});
        let acknowledged = tell(
            "subscriptions/acknowledged",
            json!({"_meta": tag, "notifications": agreed}),
        );
        let listens = seen.asks() == "subscriptions/listen";
        let nth = asked.fetch_add(usize::from(listens), Ordering::Relaxed);
        Some(match (seen.asks(), nth) {
            ("server/discover", _) => seen.discovered(json!({"tools": {}})),
            ("subscriptions/listen", nth) if nth < 2 => {
                let change = tell("tools/list_changed", json!({"_meta": tag, "nth": nth}));
                Act::Stream(format!("{acknowledged}{change}"), true)
            }
            ("subscriptions/listen", 2) => Act::status(503),
            ("subscriptions/listen", _) => {
                let end = message(&seen.result(json!({"resultType": "complete"})));
                Act::Stream(format!("{acknowledged}{end}"), false)
            }
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Stateless).await;
    let wants =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}});
    let listen = modern("mine", "subscriptions/listen", wants);
    let mut events = client.stream_modern(&listen).await;
    let mut told = Vec::new();
    let end = loop {
        let event = events.next().await.unwrap();
        let Some(method) = event["method"].as_str() else {
            break event;
        };
        assert_eq!(event["params"]["_meta"][TAG], "mine");
        told.push(method.trim_start_matches("notifications/").to_owned());
    };
    assert_eq!(end["id"], "mine");
    let (changed, updated) = ("tools/list_changed", "resources/updated");
    let again = [changed, updated];
    let expected = ["subscriptions/acknowledged", changed];
    let expected = [&expected[..], &again, &[changed], &again].concat();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn lists_may_have_changed_while_a_shared_stream_without_ids_was_broken_which_is_told_once() {
    let breaks = Arc::new(Semaphore::new(0));
    let broken = breaks.clone();
    let change = |list: &str| json!({"jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed")});
    let marker = change("marker");
    let last = message(&marker);
    let stage = Stage::open(move |seen| {
        Some(match (seen.method.as_str(), seen.asks(), seen.nth) {
            ("POST", "initialize", _) => {
                let lists = json!({"tools": {"listChanged": true}, "prompts": {}, "resources": {"listChanged": true}});
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": lists,
                                    "serverInfo": {"name": "played", "version": "1"}});
                Act::json(seen.result(result))
            }
            ("GET", _, 0) => {
                let short = Act::Stream(String::from("retry: 1\n\n"), true);
                Act::After(broken.clone(), Box::new(short))
            }
            // Not each time: the next one waits for some minutes.
            ("GET", _, 1 | 2) => Act::Stream(String::from("retry: 1\n\n"), true),
            ("GET", _, 3) => Act::Stream(last.clone(), false),
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    let mut events = client.begin().await.listen().await;
    let wants = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true}});
    let listen = modern("mine", "subscriptions/listen", wants);
    let mut listener = client.stream_modern(&listen).await;
    listener.next().await.unwrap();
    breaks.add_permits(1);
    for expected in [change("tools"), change("resources"), marker] {
        assert_eq!(events.next().await.unwrap(), expected);
    }
    assert_eq!(
        listener.next().await.unwrap()["method"],
        change("tools")["method"]
    );
}

#[tokio::test]
async fn events_without_an_id_behind_one_that_comes_again_are_passed_on() {
    // The place as the server names it again: with its message, or without one.
    for again in [message(&log("first")), "data:\n\n".to_owned()] {
        let stage = Stage::open(move |seen| {
            let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
            match (seen.asks(), seen.header("last-event-id")) {
                ("tools/call", _) => Some(Act::Stream(
                    format!("retry: 1\nid: a-1\n{}", message(&log("first"))),
                    true,
                )),
                (_, Some("a-1")) => {
                    let events = [
                        format!("id: a-1\n{again}"),
                        message(&log("second")),
                        message(&log("third")),
                        message(&answer),
                    ];
                    Some(Act::Stream(events.concat(), true))
                }
                _ => None,
            }
        })
        .await;
        let (_server, client) = before(&stage, Mode::Session).await;
        let session = client.begin().await;
        let mut events = session.stream(&tool(7, "any", json!({}))).await;
        for text in ["first", "second", "third"] {
            assert_eq!(events.next().await.unwrap(), log(text));
        }
        assert_eq!(events.next().await.unwrap()["id"], 7);
    }
}

/// A server whose calls bring a log of their name, and `ask` a question, and whose sessions' streams bring a log once they may.
async fn talking(unasked: &Arc<Semaphore>) -> Stage {
    let unasked = unasked.clone();
    Stage::open(move |seen| {
        if seen.method == "GET" {
            let said = Act::Stream(message(&log("unasked")), false);
            return Some(Act::After(unasked.clone(), Box::new(said)));
        }
        let name = seen.body["params"]["name"].as_str()?;
        let question = json!({"jsonrpc": "2.0", "id": "why", "method": "roots/list"});
        let asked = (name == "ask").then(|| message(&question));
        let said = message(&log(name)) + &asked.unwrap_or_default();
        Some(Act::Stream(said, false))
    })
    .await
}

/// The stream of a call that brought the log of its name.
async fn begun(client: &Client, id: u32, name: &str) -> Events {
    let mut events = client.stream(&tool(id, name, json!({}))).await;
    assert_eq!(events.next().await.unwrap(), log(name));
    events
}

#[tokio::test]
async fn what_came_on_a_calls_stream_goes_on_its_clients_whatever_else_is_open() {
    let stage = talking(&Arc::new(Semaphore::new(0))).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let _first = begun(&session, 1, "work").await;
    let mut second = begun(&session, 2, "ask").await;
    assert_eq!(second.next().await.unwrap()["id"], "why");
    let _own = session.listen().await;
    let mut third = begun(&session, 3, "ask").await;
    assert_eq!(third.next().await.unwrap()["id"], "why");
}

#[tokio::test]
async fn what_came_on_the_sessions_stream_goes_on_its_clients_and_to_no_call() {
    let unasked = Arc::new(Semaphore::new(0));
    let stage = talking(&unasked).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let mut own = session.listen().await;
    let _call = begun(&session, 1, "work").await;
    unasked.add_permits(1);
    assert_eq!(own.next().await.unwrap(), log("unasked"));
}

#[tokio::test]
async fn logs_on_a_calls_stream_are_its_own_where_sessions_are_not() {
    for (mode, most) in [(Mode::Shared, 1), (Mode::Exclusive, 2)] {
        let stage = talking(&Arc::new(Semaphore::new(0))).await;
        let mut options = quick(&stage, mode);
        options.max_connections = Some(most);
        let (_server, client) = start_with(options).await;
        let _first = begun(&client, 1, "one").await;
        let _second = begun(&client, 2, "other").await;
    }
}

#[tokio::test]
async fn a_stream_that_began_is_the_first_sign_of_an_answer() {
    for mode in [Mode::Session, Mode::Shared] {
        let late = Arc::new(Semaphore::new(0));
        let (gate, id) = (late.clone(), Mutex::new(Value::Null));
        let stage = Stage::open(move |seen| {
            match (
                seen.body["params"]["name"].as_str(),
                seen.header("last-event-id"),
            ) {
                (Some("slow"), _) => {
                    *id.lock().unwrap() = seen.body["id"].clone();
                    Some(Act::Stream("retry: 1\nid: a-1\ndata:\n\n".into(), true))
                }
                (Some("silent"), _) => Some(Act::Silence),
                (_, Some("a-1")) => {
                    let id = id.lock().unwrap().clone();
                    let answer = message(&json!({"jsonrpc": "2.0", "id": id, "result": {}}));
                    let said = Act::Stream(answer, true);
                    Some(Act::After(gate.clone(), Box::new(said)))
                }
                _ => None,
            }
        })
        .await;
        let mut options = quick(&stage, mode);
        options.request_timeout = Duration::from_millis(500);
        let (_server, client) = start_with(options).await;
        let session = client.begin().await;
        let slow = session.start(tool(1, "slow", json!({})));
        let resumed = |seen: &Seen| seen.header("last-event-id").is_some();
        eventually("it is gone on with", || stage.seen(resumed).len() == 1).await;
        // It began later, and has as long.
        let silent = session.call(2, "silent", json!({})).await;
        assert_eq!(silent.kind(), "timed_out");
        late.add_permits(1);
        let reply = slow.await.unwrap();
        assert_eq!(reply.status, 200, "{mode:?} {reply:?}");
    }
}
