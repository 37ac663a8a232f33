//! MCP servers that speak the transport of 2024-11-05 alone, behind the proxy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::client::{Client, initialize, modern_tool, request, text_of, tool};
use crate::fixture::{PATIENCE, eventually, in_flight, start_with, stats};
use crate::remote::{before, quick};
use crate::remote_trouble::no_connection_is_used;
use crate::upstream::{Act, Seen, Stage, message, usual};

/// The streams of such a server, one a session.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<Vec<UnboundedSender<String>>>>);

impl Streams {
    /// Opens the next one, which first says this.
    fn open(&self, first: impl Fn(usize) -> String) -> Act {
        let (told, heard) = unbounded_channel();
        let mut streams = self.0.lock().unwrap();
        told.send(first(streams.len())).unwrap();
        streams.push(told);
        Act::Fed(heard)
    }

    /// Says something on the stream of the session that a post names.
    fn tell(&self, seen: &Seen, said: &Value) {
        let told = self.0.lock().unwrap()[session(seen)].clone();
        let _ = told.send(message(said)); // else its client left
    }

    /// Takes a post, and answers it as a plain server does.
    fn answer(&self, seen: &Seen) -> Act {
        if let Act::Say(200, _, body) = usual(seen) {
            self.tell(seen, &serde_json::from_str(&body).unwrap());
        }
        Act::status(202)
    }

    /// Ends those that are open.
    fn cut(&self) {
        for told in &mut *self.0.lock().unwrap() {
            *told = unbounded_channel().0;
        }
    }

    /// How many are open.
    fn open_now(&self) -> usize {
        let streams = self.0.lock().unwrap();
        streams.iter().filter(|told| !told.is_closed()).count()
    }
}

fn endpoint(place: &str) -> String {
    format!("event: endpoint\ndata: {place}\n\n")
}

fn messages(session: usize) -> String {
    endpoint(&format!("/messages?session={session}"))
}

/// The session that a post names.
fn session(seen: &Seen) -> usize {
    let (_, session) = seen.path.split_once("/messages?session=").unwrap();
    session.parse().unwrap()
}

/// Plays what the closure says of posts to where its streams said, and else a plain server.
async fn old(
    play: impl Fn(&Seen, &Streams) -> Option<Act> + Send + Sync + 'static,
) -> (Stage, Streams) {
    let streams = Streams::default();
    let own = streams.clone();
    let stage = Stage::open(move |seen| {
        Some(match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/mcp") => own.open(messages),
            ("POST", path) if path.starts_with("/messages?") => {
                play(seen, &own).unwrap_or_else(|| own.answer(seen))
            }
            _ => Act::status(405),
        })
    })
    .await;
    (stage, streams)
}

/// One that says nothing to calls, but takes them.
async fn mute() -> (Stage, Streams) {
    old(|seen, _| (seen.asks() == "tools/call").then(|| Act::status(202))).await
}

fn called(seen: &Seen) -> bool {
    seen.asks() == "tools/call"
}

fn at_url(seen: &Seen) -> bool {
    seen.path == "/mcp" && seen.method == "POST"
}

#[tokio::test]
async fn a_server_of_the_old_transport_is_found_and_remembered() {
    let (stage, streams) = old(|_, _| None).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let (one, other) = (client.begin().await, client.begin_at("2024-11-05").await);
    for session in [&one, &other] {
        assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
        assert_eq!(
            session.post(&request(2, "ping", json!({}))).await.status,
            200
        );
    }
    let tried = stage.seen(at_url);
    assert_eq!(tried.len(), 1, "the second one did not ask");
    assert_eq!(tried[0].asks(), "initialize");
    let posted = stage.seen(|seen| seen.path.starts_with("/messages?"));
    assert_eq!(posted.len(), 8);
    let is_of = |seen: &Seen| seen.header("authorization") == Some("Bearer of");
    assert!(stage.seen(|_| true).iter().all(is_of));
    assert_eq!(streams.open_now(), 2, "a stream each");
    assert_eq!(one.send(Method::DELETE, "").await.status, 200);
    eventually("its stream ends with it", || streams.open_now() == 1).await;
    assert_eq!(other.call(3, "any", json!({})).await.text(), "called");
}

#[tokio::test]
async fn a_server_that_is_another_one_by_now_is_found_anew() {
    let (streams, is_old) = (Streams::default(), Arc::new(AtomicBool::new(true)));
    let stage = Stage::open({
        let (streams, is_old) = (streams.clone(), is_old.clone());
        move |seen| {
            if !is_old.load(Ordering::Relaxed) {
                return None;
            }
            Some(match (seen.method.as_str(), seen.path.as_str()) {
                ("GET", _) => streams.open(messages),
                (_, "/mcp") => Act::status(404),
                _ => streams.answer(seen),
            })
        }
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    for now in [true, true, false, false, true] {
        is_old.store(now, Ordering::Relaxed);
        let session = client.begin().await;
        assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
    }
    // Asked where nothing was known, where it had changed, and where it was not known to be old.
    let greeted = stage.seen(|seen| at_url(seen) && seen.asks() == "initialize");
    assert_eq!(greeted.len(), 4);
}

#[tokio::test]
async fn clients_with_the_same_ids_get_their_own_answers() {
    let (stage, _) = old(|seen, streams| {
        let said = json!([session(seen), seen.body["params"]["arguments"]]).to_string();
        let said = json!({"content": [{"type": "text", "text": said}]});
        called(seen).then(|| {
            streams.tell(seen, &seen.result(said));
            Act::status(202)
        })
    })
    .await;
    let (server, client) = before(&stage, Mode::Session).await;
    let sessions = [client.begin().await, client.begin().await];
    let mut calls = Vec::new();
    for id in 0..20 {
        for (nth, session) in sessions.iter().enumerate() {
            let said = json!([nth, id]);
            let call = session.start(tool(id, "any", json!({"said": said})));
            calls.push((json!([nth, {"said": said}]).to_string(), call));
        }
    }
    for (expected, call) in calls {
        assert_eq!(call.await.unwrap().text(), expected);
    }
    drop(server);
}

/// A server whose calls bring a log, progress and a question, and end when that is answered.
async fn asking() -> (Stage, Streams) {
    let call = Mutex::new(Value::Null);
    old(move |seen, streams| {
        if seen.body["id"] == "why" {
            let answer = json!({"jsonrpc": "2.0", "id": *call.lock().unwrap(), "result": {}});
            streams.tell(seen, &answer);
            return Some(Act::status(202));
        }
        if !called(seen) {
            return None;
        }
        *call.lock().unwrap() = seen.body["id"].clone();
        let token = &seen.body["params"]["_meta"]["progressToken"];
        let progress = json!({"progressToken": token, "progress": 1});
        for (method, params) in [("progress", progress), ("message", json!({"data": "log"}))] {
            let method = format!("notifications/{method}");
            streams.tell(
                seen,
                &json!({"jsonrpc": "2.0", "method": method, "params": params}),
            );
        }
        streams.tell(
            seen,
            &json!({"jsonrpc": "2.0", "id": "why", "method": "roots/list"}),
        );
        Some(Act::status(202))
    })
    .await
}

#[tokio::test]
async fn what_it_asks_and_tells_reaches_its_session_and_the_answer_reaches_it() {
    let (stage, _) = asking().await;
    let (_server, client) = before(&stage, Mode::Session).await;
    for listens in [false, true] {
        let session = client.begin().await;
        let mut call = tool(7, "ask", json!({}));
        call["params"]["_meta"] = json!({"progressToken": "t"});
        let mut own = match listens {
            true => Some(session.listen().await),
            false => None,
        };
        let mut answered = session.stream(&call).await;
        let progress = answered.next().await.unwrap();
        assert_eq!(progress["params"]["progressToken"], "t");
        // They name no request: the session's own stream goes before.
        let unnamed = own.as_mut().unwrap_or(&mut answered);
        assert_eq!(unnamed.next().await.unwrap()["params"]["data"], "log");
        assert_eq!(unnamed.next().await.unwrap()["method"], "roots/list");
        let answer = json!({"jsonrpc": "2.0", "id": "why", "result": {"roots": []}});
        assert_eq!(session.post(&answer).await.status, 202);
        assert_eq!(answered.next().await.unwrap()["id"], 7);
    }
}

#[tokio::test]
async fn a_cancellation_is_posted_and_its_late_answer_dropped() {
    let (stage, streams) = mute().await;
    let (server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let told = |seen: &Seen| seen.asks() == "notifications/cancelled";
    // Whatever a request says of its revision: here no connection is its own.
    for (nth, call) in [tool(7, "any", json!({})), modern_tool(7, "any", json!({}))]
        .into_iter()
        .enumerate()
    {
        let call = session.start(call);
        eventually("it is called", || stage.seen(called).len() == nth + 1).await;
        assert_eq!(session.cancel(7).await.status, 202);
        assert_eq!(call.await.unwrap().kind(), "cancelled");
        assert_eq!(stage.seen(told)[nth].body["params"]["requestId"], 7);
    }
    let told = stage.seen(told);
    streams.tell(&told[0], &json!({"jsonrpc": "2.0", "id": 7, "result": {}}));
    let ping = session.post(&request(7, "ping", json!({}))).await;
    assert_eq!(ping.json()["result"], json!({}));
    in_flight(&server, 0).await;
}

#[tokio::test]
async fn a_silent_call_times_out_and_is_cancelled_there() {
    let (stage, _) = mute().await;
    let options = ServeOptions {
        request_timeout: Duration::from_millis(300),
        response_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_secs(10),
        ..quick(&stage, Mode::Session)
    };
    let (_server, client) = start_with(options).await;
    let session = client.begin().await;
    assert_eq!(session.call(1, "any", json!({})).await.kind(), "timed_out");
    let told = |seen: &Seen| seen.asks() == "notifications/cancelled";
    eventually("it is told", || stage.seen(told).len() == 1).await;
    assert_eq!(
        session.post(&request(2, "ping", json!({}))).await.status,
        200
    );
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_to_what_waits_and_ends_its_session() {
    let (stage, streams) = mute().await;
    let (server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let calls = [session.hang(1), session.hang(2)];
    eventually("both are called", || stage.seen(called).len() == 2).await;
    streams.cut();
    for call in calls {
        let reply = call.await.unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.kind().as_str()),
            (200, "child_died")
        );
    }
    let next = session.post(&request(3, "ping", json!({}))).await;
    assert_eq!(
        (next.status.as_u16(), next.kind().as_str()),
        (404, "session_ended")
    );
    assert_eq!(stage.seen(called).len(), 2, "not called again");
    no_connection_is_used(&server).await;
    let again = client.begin().await;
    assert_eq!(again.post(&request(3, "ping", json!({}))).await.status, 200);
    // One that nothing waits in ends, too.
    streams.cut();
    let mut status = 200;
    let begun = std::time::Instant::now();
    while status != 404 {
        status = again
            .post(&request(4, "ping", json!({})))
            .await
            .status
            .as_u16();
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
}

#[tokio::test]
async fn a_place_of_another_origin_is_not_posted_to() {
    let foreign = Stage::open(|_| None).await;
    let place = format!("http://{}/messages", foreign.address);
    for place in [
        place.as_str(),
        "//localhost.invalid/messages",
        "file:///messages",
    ] {
        let (streams, named) = (Streams::default(), endpoint(place));
        let stage = Stage::open(move |seen| {
            Some(match seen.method.as_str() {
                "GET" => streams.open(|_| named.clone()),
                _ => Act::status(405),
            })
        })
        .await;
        let (server, client) = before(&stage, Mode::Session).await;
        let refused = client.post(&initialize("2025-11-25")).await;
        assert_eq!(
            (refused.status.as_u16(), refused.kind().as_str()),
            (502, "upstream_failed")
        );
        let text = refused.json()["error"]["message"].to_string();
        assert!(text.contains(place), "{text}");
        no_connection_is_used(&server).await;
    }
    assert!(foreign.seen(|_| true).is_empty());
}

#[tokio::test]
async fn a_place_of_the_same_origin_may_be_named_whole_or_in_part() {
    let address = Arc::new(Mutex::new(String::new()));
    for is_whole in [true, false] {
        let (streams, own) = (Streams::default(), address.clone());
        let stage = Stage::open(move |seen| {
            let origin = match is_whole {
                true => format!("http://{}/", own.lock().unwrap()),
                false => String::new(),
            };
            Some(match (seen.method.as_str(), seen.path.as_str()) {
                ("GET", _) => {
                    streams.open(|session| endpoint(&format!("{origin}messages?session={session}")))
                }
                (_, "/mcp") => Act::status(400),
                _ => streams.answer(seen),
            })
        })
        .await;
        *address.lock().unwrap() = stage.address.to_string();
        let (_server, client) = before(&stage, Mode::Session).await;
        let session = client.begin().await;
        assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
    }
}

#[tokio::test]
async fn a_stream_that_never_says_where_to_post_is_a_time_out_and_keeps_no_connection() {
    let (streams, is_mute) = (Streams::default(), Arc::new(AtomicBool::new(true)));
    let stage = Stage::open({
        let (streams, is_mute) = (streams.clone(), is_mute.clone());
        move |seen| {
            Some(match (seen.method.as_str(), seen.path.as_str()) {
                ("GET", _) if is_mute.load(Ordering::Relaxed) => {
                    streams.open(|_| String::from(": nothing\n\n"))
                }
                ("GET", _) => streams.open(messages),
                (_, "/mcp") => Act::status(405),
                _ => streams.answer(seen),
            })
        }
    })
    .await;
    let options = ServeOptions {
        connect_timeout: Duration::from_millis(500),
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    // At first nothing is known of it; then it is known to be old.
    for _ in 0..2 {
        is_mute.store(true, Ordering::Relaxed);
        let refused = client.post(&initialize("2025-11-25")).await;
        assert_eq!(
            (refused.status.as_u16(), refused.kind().as_str()),
            (504, "timed_out")
        );
        eventually("it is left", || streams.open_now() == 0).await;
        no_connection_is_used(&server).await;
        is_mute.store(false, Ordering::Relaxed);
        let session = client.begin().await;
        assert_eq!(session.send(Method::DELETE, "").await.status, 200);
    }
}

#[tokio::test]
async fn a_refusal_of_a_server_with_another_stream_is_its_own() {
    let stage = Stage::open(|seen| {
        let error = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": {"code": -32602, "message": "no"}});
        match (seen.method.as_str(), seen.body["params"]["protocolVersion"].as_str()) {
            ("GET", _) => Some(Act::Stream(message(&json!({"jsonrpc": "2.0", "method": "hello"})), false)),
            (_, Some("2025-06-18")) => Some(Act::Say(400, "content-type: application/json", error.to_string())),
            _ => Some(Act::Say(400, "content-type: text/plain", "not you".into())),
        }
    })
    .await;
    let (server, client) = before(&stage, Mode::Session).await;
    let refused = client.post(&initialize("2025-11-25")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.kind().as_str()),
        (400, "upstream_refused")
    );
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("not you")
    );
    no_connection_is_used(&server).await;
    let asked = |seen: &Seen| seen.method == "GET";
    assert_eq!(stage.seen(asked).len(), 1);
    // What answers the request is no reason to look for anything else.
    let answered = client.post(&initialize("2025-06-18")).await;
    assert_eq!(answered.json()["error"]["code"], -32602);
    assert_eq!(stage.seen(asked).len(), 1);
}

#[tokio::test]
async fn who_has_to_name_itself_before_the_stream_opens_is_told() {
    let stage = Stage::open(|seen| {
        Some(match seen.method.as_str() {
            "GET" => Act::Say(401, "www-authenticate: Bearer", "who".into()),
            _ => Act::status(404),
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let refused = client.post(&initialize("2025-11-25")).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_shutdown_ends_the_streams() {
    let (stage, streams) = old(|_, _| None).await;
    for mode in [Mode::Session, Mode::Shared] {
        let (server, client) = before(&stage, mode).await;
        let session = client.begin().await;
        assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
        assert!(streams.open_now() > 0);
        assert!(server.shutdown(PATIENCE).await.pool.is_clean());
        eventually("they are left", || streams.open_now() == 0).await;
    }
}

#[tokio::test]
async fn sessions_with_it_are_shared_as_others_are() {
    let (stage, streams) = old(|seen, streams| match seen.body["params"]["name"].as_str() {
        Some("hang") => Some(Act::status(202)),
        Some("ask") => {
            let question = json!({"jsonrpc": "2.0", "id": "why", "method": "roots/list"});
            streams.tell(seen, &question);
            Some(Act::status(202))
        }
        _ if seen.body["id"] == "why" => {
            assert_eq!(seen.body["error"]["code"], -32601);
            Some(Act::status(202))
        }
        _ => None,
    })
    .await;
    for mode in [Mode::Shared, Mode::Exclusive, Mode::Stateless] {
        let (server, client) = before(&stage, mode).await;
        let sessions = [client.begin().await, client.begin().await];
        for session in &sessions {
            assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
        }
        let refused = stage.seen(|seen| seen.body["id"] == "why").len();
        let calls = sessions.each_ref().map(|session| session.hang(2));
        let asks = sessions[0].start(tool(3, "ask", json!({})));
        eventually("it is refused", || {
            stage.seen(|seen| seen.body["id"] == "why").len() > refused
        })
        .await;
        in_flight(&server, 3).await;
        streams.cut();
        for call in calls.into_iter().chain([asks]) {
            assert_eq!(call.await.unwrap().kind(), "child_died", "{mode:?}");
        }
        // Nobody's session is over: they had none there.
        assert_eq!(sessions[0].call(4, "any", json!({})).await.text(), "called");
    }
}

#[tokio::test]
async fn an_answer_that_overtakes_the_reply_to_its_post_is_passed_on() {
    let taken = Arc::new(Semaphore::new(0));
    let (stage, _) = old({
        let taken = taken.clone();
        move |seen, streams| {
            called(seen).then(|| Act::After(taken.clone(), streams.answer(seen).into()))
        }
    })
    .await;
    let (server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    // By then the place of the first one is free for another one with its id.
    for _ in 0..2 {
        assert_eq!(session.call(1, "any", json!({})).await.text(), "called");
        taken.add_permits(1);
        // That of the session's stream alone: the reply was read all the same.
        let begun = std::time::Instant::now();
        loop {
            let figures = stats(server.admin_address()).await;
            let connections = &figures["connections_upstream"];
            if connections["leased"] == 1 {
                assert_eq!(connections["retired"], 0);
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{figures}");
        }
    }
}

#[tokio::test]
async fn a_request_that_was_taken_has_the_time_of_its_answer() {
    let (stage, streams) = old(|seen, _| {
        Some(match seen.body["params"]["name"].as_str()? {
            "taken" => Act::status(202),
            _ => Act::Silence,
        })
    })
    .await;
    let options = ServeOptions {
        request_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_secs(10),
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let call = session.start(tool(1, "taken", json!({})));
    eventually("it is called", || stage.seen(called).len() == 1).await;
    // One that is not taken is older than that time when it ends, and so is the first one.
    let other = session.call(2, "any", json!({})).await;
    assert_eq!(other.kind(), "timed_out");
    let called = &stage.seen(called)[0];
    streams.tell(called, &called.result(json!({})));
    assert_eq!(call.await.unwrap().json()["result"], json!({}));
    in_flight(&server, 0).await;
}

#[tokio::test]
async fn a_post_that_breaks_off_or_finds_no_session_is_told_and_not_repeated() {
    let (stage, streams) = old(|seen, _| {
        Some(match seen.body["params"]["name"].as_str()? {
            "drop" => Act::Drop,
            "forget" => Act::status(404),
            "trouble" => Act::status(500),
            "wait" => Act::status(202),
            _ => return None,
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    for (id, (name, kind)) in (1..).zip([("drop", "child_died"), ("trouble", "upstream_failed")]) {
        assert_eq!(session.call(id, name, json!({})).await.kind(), kind);
        assert_eq!(session.call(id, "any", json!({})).await.text(), "called");
    }
    let waits = session.start(tool(8, "wait", json!({})));
    eventually("it is called", || stage.seen(called).len() == 5).await;
    let forgotten = session.call(9, "forget", json!({})).await;
    assert_eq!(
        (forgotten.status.as_u16(), forgotten.kind().as_str()),
        (404, "session_ended")
    );
    assert_eq!(waits.await.unwrap().kind(), "child_died");
    assert_eq!(
        session.post(&request(3, "ping", json!({}))).await.status,
        404
    );
    assert_eq!(stage.seen(called).len(), 6, "each once");
    eventually("its stream is left", || streams.open_now() == 0).await;
}

#[tokio::test]
async fn an_event_that_is_too_long_ends_the_session_with_a_typed_error() {
    let (stage, _) = old(|seen, streams| {
        called(seen).then(|| {
            streams.tell(seen, &seen.result(json!({"long": "x".repeat(5000)})));
            Act::status(202)
        })
    })
    .await;
    let options = ServeOptions {
        max_body_bytes: 2000,
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    assert_eq!(
        session.call(1, "any", json!({})).await.kind(),
        "upstream_failed"
    );
    assert_eq!(session.call(2, "any", json!({})).await.status, 404);
    no_connection_is_used(&server).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_keeps_nothing_waiting() {
    let (stage, _) = old(|seen, streams| {
        called(seen).then(|| {
            let mut broken = seen.result(json!({}));
            broken["error"] = json!({"code": 1, "message": "both"});
            streams.tell(seen, &broken);
            Act::status(202)
        })
    })
    .await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let session = client.begin().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for id in 0..50 {
        let reply = session.call(id, "any", json!({})).await;
        assert_eq!(reply.kind(), "upstream_failed");
    }
    // Those of connections come and go.
    eventually("none is left", || tasks() < before + 25).await;
    let ping = session.post(&request(50, "ping", json!({}))).await;
    assert_eq!(ping.status, 200);
}

#[tokio::test]
async fn clients_of_the_old_transport_reach_it_too() {
    let (stage, streams) = old(|_, _| None).await;
    let (_server, client) = before(&stage, Mode::Session).await;
    let mut events = client.listen_at("/sse").await;
    let path = events.next_event().await.unwrap().data.unwrap();
    let post = async |client: &Client, message: Value| {
        let body = message.to_string().into();
        let reply = client.open(Method::POST, &path, body).await;
        assert_eq!(reply.status(), 202);
    };
    post(&client, initialize("2024-11-05")).await;
    assert_eq!(events.next().await.unwrap()["id"], 0);
    post(&client, tool("x", "any", json!({}))).await;
    assert_eq!(text_of(&events.next().await.unwrap()), "called");
    streams.cut();
    assert!(
        events.next().await.is_none(),
        "the session ends with the other one"
    );
}
