//! The transport of revision 2024-11-05: answers, and what else there is to tell, come on one stream.

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, Events, initialize, request, text_of, tool};
use crate::fixture::{
    PATIENCE, eventually, http_options, in_flight, marker, options, processes, script, start_with,
};
use crate::remote::{before, forgetful};
use crate::subscribing::{agreed, asked, is_told, one_child, update, wishes};

/// A session of it.
struct Old {
    client: Client,
    /// Where it posts.
    path: String,
    events: Events,
}

impl Old {
    async fn open(client: &Client) -> Self {
        let mut events = client.listen_at("/sse").await;
        let endpoint = events.next_event().await.unwrap();
        assert_eq!(endpoint.event.as_deref(), Some("endpoint"));
        let path = endpoint.data.unwrap();
        assert!(path.starts_with('/'), "of the same origin: {path}");
        let client = client.clone();
        Self {
            client,
            path,
            events,
        }
    }

    /// Opens one and shakes hands.
    async fn begin(client: &Client) -> Self {
        let mut old = Self::open(client).await;
        let hello = old.ask(initialize("2024-11-05")).await;
        assert_eq!(hello["result"]["protocolVersion"], "2024-11-05");
        old.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        old
    }

    async fn post(&self, message: &Value) {
        assert_eq!(post(&self.client, &self.path, message).await, 202);
    }

    /// Posts a request and waits for its answer; what comes before that is left out.
    async fn ask(&mut self, message: Value) -> Value {
        self.post(&message).await;
        loop {
            let told = self.events.next().await.unwrap();
            if told["id"] == message["id"] {
                return told;
            }
        }
    }

    async fn wish(&mut self, what: &str, uri: &str) -> Value {
        let method = format!("resources/{what}");
        self.ask(request(7, &method, json!({"uri": uri}))).await
    }
}

async fn post(client: &Client, path: &str, message: &Value) -> u16 {
    let reply = client
        .open(Method::POST, path, message.to_string().into())
        .await;
    reply.status().as_u16()
}

#[tokio::test]
async fn who_agrees_on_a_newer_revision_there_is_served_by_children_of_that_one() {
    let (_server, client) = start_with(options(script("plunge-test", &[]), Mode::Exclusive)).await;
    for agreed in ["2025-03-26", "2024-11-05"] {
        let mut old = Old::open(&client).await;
        let hello = old.ask(initialize(agreed)).await;
        assert_eq!(hello["result"]["protocolVersion"], agreed);
        let answer = old.ask(tool(1, "revision", json!({}))).await;
        assert_eq!(text_of(&answer), agreed);
    }
}

#[tokio::test]
async fn the_old_transport_answers_on_its_stream_in_every_mode() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let mark = marker("old-transport");
        let (server, client) = start_with(options(script(&mark, &[]), mode)).await;
        let mut old = Old::begin(&client).await;
        let echoed = old.ask(tool("x", "echo", json!({"a": 1}))).await;
        assert_eq!(echoed["result"]["content"][0]["text"], "{\"a\": 1}");
        old.post(&tool("y", "hang", json!({}))).await;
        in_flight(&server, 1).await;
        let Old { path, events, .. } = old;
        drop(events);
        if mode == Mode::Session {
            // The one that is kept ready for the next session stays.
            eventually("its child goes with the stream", || {
                processes(&mark).len() == 1
            })
            .await;
        }
        let begun = std::time::Instant::now();
        while post(&client, &path, &tool(1, "echo", json!({}))).await != 404 {
            assert!(begun.elapsed() < PATIENCE, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn an_initialize_is_not_taken_back() {
    // It reads nothing before its second line.
    let children = options(script("plunge-test", &["late"]), Mode::Session);
    let (_server, client) = start_with(children).await;
    let mut old = Old::open(&client).await;
    old.post(&initialize("2024-11-05")).await;
    let cancelled = "notifications/cancelled";
    old.post(&json!({"jsonrpc": "2.0", "method": cancelled, "params": {"requestId": 0}}))
        .await;
    old.post(&tool(1, "cancelled", json!({}))).await;
    let mut told = async |id: u32| loop {
        let told = old.events.next().await.unwrap();
        if told["id"] == id {
            return told;
        }
    };
    assert_eq!(told(0).await["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(text_of(&told(1).await), "[]", "nobody told the server");
}

#[tokio::test]
async fn the_old_transport_is_served_before_a_server_over_http_too() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let children = options(script("plunge-test", &[]), Mode::Session);
        let (behind, _) = start_with(children).await;
        let (_server, client) = start_with(http_options(behind.mcp_address(), mode)).await;
        let mut old = Old::begin(&client).await;
        let echoed = old.ask(tool("x", "echo", json!({"a": 1}))).await;
        assert_eq!(text_of(&echoed), "{\"a\": 1}", "{mode:?}");
        let died = old.ask(tool(1, "die", json!({}))).await;
        assert_eq!(died["error"]["data"]["kind"], "child_died", "{mode:?}");
    }
}

#[tokio::test]
async fn progress_and_questions_come_on_the_stream_too_and_answers_are_posted() {
    let children = || options(script("plunge-test", &[]), Mode::Session);
    let (_server, client) = start_with(children()).await;
    speaks_both_ways(&client).await;
    let (behind, _) = start_with(children()).await;
    let before = http_options(behind.mcp_address(), Mode::Session);
    let (_server, client) = start_with(before).await;
    speaks_both_ways(&client).await;
}

async fn speaks_both_ways(client: &Client) {
    let mut old = Old::begin(client).await;
    let mut slow = tool(1, "progress", json!({"steps": 2}));
    slow["params"]["_meta"] = json!({"progressToken": "t"});
    old.post(&slow).await;
    let mut steps = Vec::new();
    loop {
        let told = old.events.next().await.unwrap();
        if told["id"] == 1 {
            break;
        }
        if told["method"] == "notifications/progress" {
            assert_eq!(told["params"]["progressToken"], "t");
            steps.push(told["params"]["progress"].clone());
        }
    }
    assert_eq!(steps, [0, 1]);
    old.post(&tool(2, "ask", json!({"id": "why"}))).await;
    let asked = old.events.next().await.unwrap();
    assert_eq!(
        (&asked["id"], &asked["method"]),
        (&json!("why"), &json!("sampling/createMessage"))
    );
    old.post(&json!({"jsonrpc": "2.0", "id": "why", "result": {"said": 1}}))
        .await;
    assert_eq!(old.events.next().await.unwrap()["id"], 2);
}

#[tokio::test]
async fn a_death_is_told_on_the_stream_and_ends_a_session_with_a_child_of_its_own() {
    for (mode, then) in [(Mode::Session, 404), (Mode::Shared, 202)] {
        let (_server, client) = start_with(options(script("plunge-test", &[]), mode)).await;
        let mut old = Old::begin(&client).await;
        let died = old.ask(tool(1, "die", json!({}))).await;
        assert_eq!(died["error"]["data"]["kind"], "child_died", "{mode:?}");
        let next = post(&client, &old.path, &tool(2, "echo", json!({}))).await;
        assert_eq!(next, then, "{mode:?}");
        if then == 202 {
            assert!(old.events.next().await.unwrap()["result"].is_object());
        } else {
            assert!(old.events.next().await.is_none(), "the session is over");
        }
    }
}

#[tokio::test]
async fn what_nobody_looked_at_is_sent_again_over_the_old_transport_too() {
    let stage = forgetful().await;
    let (_server, client) = before(&stage, Mode::Shared).await;
    let mut old = Old::begin(&client).await;
    assert_eq!(text_of(&old.ask(tool(1, "any", json!({}))).await), "called");
}

#[tokio::test]
async fn answers_that_are_more_than_a_stream_holds_all_arrive() {
    for mode in [Mode::Session, Mode::Shared, Mode::Exclusive] {
        let (_server, client) = start_with(options(script("plunge-test", &[]), mode)).await;
        let mut old = Old::begin(&client).await;
        // Nothing is read meanwhile, and all of them are under way before the first of them is more than that.
        let wanted = 1..=6;
        let calls = wanted.clone().map(|id: u32| {
            let (client, path) = (client.clone(), old.path.clone());
            let call = tool(id, "big", json!({"bytes": 5 << 20}));
            tokio::spawn(async move { post(&client, &path, &call).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), 202, "{mode:?}");
        }
        let mut answered = Vec::new();
        while answered.len() < 6 {
            let told = old.events.next().await.expect("the session is not over");
            answered.extend(told["id"].as_u64());
        }
        answered.sort_unstable();
        assert!(answered.into_iter().eq(wanted.map(u64::from)), "{mode:?}");
    }
}

#[tokio::test]
async fn who_does_not_read_its_stream_keeps_its_session_and_gets_no_more_until_it_reads() {
    let (server, client) = start_with(options(script("plunge-test", &[]), Mode::Session)).await;
    let mut old = Old::begin(&client).await;
    let mut taken = 0;
    let call = |id: u32| tool(id, "big", json!({"bytes": 1 << 20}));
    let begun = std::time::Instant::now();
    while post(&client, &old.path, &call(taken)).await == 202 {
        taken += 1;
        in_flight(&server, 0).await;
        assert!(begun.elapsed() < PATIENCE, "{taken} are taken, and no end");
    }
    for _ in 0..taken {
        assert!(old.events.next().await.unwrap()["result"].is_object());
    }
    assert_eq!(old.ask(call(taken)).await["id"], taken);
}

#[tokio::test]
async fn resources_are_subscribed_to_as_over_the_newer_transport_until_the_stream_ends() {
    let (_server, client) = start_with(one_child()).await;
    let (mut one, mut other) = (Old::begin(&client).await, Old::begin(&client).await);
    let newer = client.begin().await;
    let mut stream = newer.listen().await;
    agreed(&newer, "subscribe", "a").await;
    for old in [&mut one, &mut other] {
        assert_eq!(old.wish("subscribe", "a").await["result"], json!({}));
    }
    let refused = one.wish("subscribe", "refused:a").await;
    assert_eq!(refused["error"]["code"], -32002);
    assert_eq!(other.wish("unsubscribe", "a").await["result"], json!({}));
    update(&client, "a").await;
    is_told(&mut stream, "a").await;
    is_told(&mut one.events, "a").await;
    client.call(3, "changed", json!({})).await;
    let changed = "notifications/tools/list_changed";
    for events in [&mut stream, &mut one.events, &mut other.events] {
        assert_eq!(
            events.next().await.unwrap()["method"],
            changed,
            "nothing before"
        );
    }
    let so_far = json!([["subscribe", "a"], ["subscribe", "refused:a"]]);
    assert_eq!(wishes(&client).await, so_far);
    assert_eq!(newer.send(Method::DELETE, "").await.status, 200);
    drop(one);
    let ended = json!([
        ["subscribe", "a"],
        ["subscribe", "refused:a"],
        ["unsubscribe", "a"]
    ]);
    asked(&client, ended).await;
}

#[tokio::test]
async fn a_session_ends_with_its_stream_in_mid_request_and_leaves_no_figure_behind() {
    let (server, client): (Server, Client) = start_with(ServeOptions {
        max_connections: Some(1),
        ..options(script("plunge-test", &["resources"]), Mode::Shared)
    })
    .await;
    let mut all = Vec::new();
    for _ in 0..10 {
        let mut old = Old::begin(&client).await;
        old.wish("subscribe", "a").await;
        all.push(old);
    }
    let figures = async || crate::fixture::stats(server.admin_address()).await;
    let now = figures().await;
    assert_eq!(
        (&now["sessions"], &now["subscribed"]["subscriptions"]),
        (&json!(10), &json!(10))
    );
    all.clear();
    let begun = std::time::Instant::now();
    loop {
        let now = figures().await;
        if (&now["sessions"], &now["subscribed"]["resources"]) == (&json!(0), &json!(0)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{now}");
    }
}
