//! `shared` mode: many sessions are subscribed to resources of few children, which are asked once for all.

use std::time::{Duration, Instant};

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, Events, Reply, initialize, request};
use crate::fixture::{PATIENCE, options, script, start_with, stats};

pub const CHANGED: &str = "notifications/tools/list_changed";
pub const UPDATED: &str = "notifications/resources/updated";

pub fn one_child() -> ServeOptions {
    ServeOptions {
        max_connections: Some(1),
        ..options(script("plunge-test", &["resources"]), Mode::Shared)
    }
}

/// Waits until sessions are subscribed so often.
async fn subscribed(server: &Server, count: u64) {
    let begun = Instant::now();
    loop {
        let subscribed = &stats(server.admin_address()).await["subscribed"];
        if subscribed["subscriptions"] == count {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{count}: {subscribed}");
    }
}

pub async fn start() -> (Server, Client) {
    start_with(one_child()).await
}

/// Two sessions with their streams.
pub async fn two_sessions(client: &Client) -> [(Client, Events); 2] {
    let (one, other) = (client.begin().await, client.begin().await);
    let (first, second) = (one.listen().await, other.listen().await);
    [(one, first), (other, second)]
}

pub async fn wish(session: &Client, what: &str, uri: &str) -> Reply {
    let method = format!("resources/{what}");
    session
        .post(&request(7, &method, json!({"uri": uri})))
        .await
}

/// Subscribes, or takes it back, and is told that this is so.
pub async fn agreed(session: &Client, what: &str, uri: &str) {
    let reply = wish(session, what, uri).await;
    let expected = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
    assert_eq!(reply.json(), expected, "{what} {uri}");
}

/// What the child was asked for so far.
pub async fn wishes(client: &Client) -> Value {
    let reply = client.call(1, "wishes", json!({})).await;
    serde_json::from_str(&reply.text()).unwrap()
}

/// Waits until the child was asked for exactly this.
pub async fn asked(client: &Client, expected: Value) {
    let begun = Instant::now();
    loop {
        let reply = client.call(1, "wishes", json!({})).await;
        let said = reply.json()["result"]["content"][0]["text"].clone();
        let said = said
            .as_str()
            .map(|text| serde_json::from_str(text).unwrap());
        if said == Some(expected.clone()) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{expected}: {said:?}");
    }
}

pub async fn update(client: &Client, uri: &str) {
    let reply = client.call(2, "update", json!({"uri": uri})).await;
    assert_eq!(reply.text(), "updated");
}

/// Has the child answer what it held back.
async fn release(client: &Client) {
    let reply = client.call(2, "release", json!({})).await;
    assert_eq!(reply.text(), "released");
}

pub async fn is_told(stream: &mut Events, uri: &str) {
    let message = stream.next().await.unwrap();
    assert_eq!(
        (&message["method"], &message["params"]["uri"]),
        (&json!(UPDATED), &json!(uri))
    );
}

/// The next message is this change of a list: nothing came before it.
pub async fn is_told_of_a_list(client: &Client, streams: &mut [&mut Events]) {
    client.call(3, "changed", json!({})).await;
    for stream in streams {
        assert_eq!(stream.next().await.unwrap()["method"], CHANGED);
    }
}

#[tokio::test]
async fn two_sessions_on_a_resource_are_one_subscription_that_ends_with_the_last() {
    let (_server, client) = start().await;
    let sessions = [
        client.begin().await,
        client.begin().await,
        client.begin().await,
    ];
    let [mut one, mut two, mut other] = [
        sessions[0].listen().await,
        sessions[1].listen().await,
        sessions[2].listen().await,
    ];
    agreed(&sessions[0], "subscribe", "file:///a").await;
    agreed(&sessions[1], "subscribe", "file:///a").await;
    agreed(&sessions[1], "subscribe", "file:///a").await;
    agreed(&sessions[2], "subscribe", "file:///b").await;
    let both = json!([["subscribe", "file:///a"], ["subscribe", "file:///b"]]);
    assert_eq!(wishes(&client).await, both);
    update(&client, "file:///a").await;
    is_told(&mut one, "file:///a").await;
    is_told(&mut two, "file:///a").await;
    is_told_of_a_list(&client, &mut [&mut one, &mut two, &mut other]).await;
    agreed(&sessions[1], "unsubscribe", "file:///a").await;
    assert_eq!(wishes(&client).await, both, "one is left");
    update(&client, "file:///a").await;
    is_told(&mut one, "file:///a").await;
    is_told_of_a_list(&client, &mut [&mut one, &mut two, &mut other]).await;
    agreed(&sessions[0], "unsubscribe", "file:///a").await;
    agreed(&sessions[0], "unsubscribe", "file:///a").await;
    let ended = json!([
        ["subscribe", "file:///a"],
        ["subscribe", "file:///b"],
        ["unsubscribe", "file:///a"]
    ]);
    assert_eq!(wishes(&client).await, ended);
}

#[tokio::test]
async fn sessions_that_subscribe_at_once_have_the_child_asked_once() {
    let (server, client) = start().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let session = client.begin().await;
        asking.spawn(async move { agreed(&session, "subscribe", "held:a").await });
    }
    subscribed(&server, 12).await;
    asked(&client, json!([["subscribe", "held:a"]])).await;
    release(&client).await;
    asking.join_all().await;
    assert_eq!(wishes(&client).await, json!([["subscribe", "held:a"]]));
}

#[tokio::test]
async fn one_that_waits_for_its_turn_can_be_taken_back() {
    let (server, client) = start().await;
    let (one, other) = (client.begin().await, client.begin().await);
    let first = tokio::spawn(async move { agreed(&one, "subscribe", "held:a").await });
    asked(&client, json!([["subscribe", "held:a"]])).await;
    let session = other.clone();
    let second = tokio::spawn(async move { wish(&session, "subscribe", "held:a").await });
    subscribed(&server, 2).await;
    let begun = Instant::now();
    while !second.is_finished() {
        // The first of them may come before it waits.
        other.cancel(7).await;
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(second.await.unwrap().kind(), "cancelled");
    subscribed(&server, 1).await;
    release(&client).await;
    first.await.unwrap();
    assert_eq!(wishes(&client).await, json!([["subscribe", "held:a"]]));
}

#[tokio::test]
async fn a_refusal_of_the_child_is_passed_on_and_leaves_nothing_behind() {
    let (_server, client) = start().await;
    let (one, other) = (client.begin().await, client.begin().await);
    for session in [&one, &other, &one] {
        let reply = wish(session, "subscribe", "refused:a").await.json();
        assert_eq!(
            (&reply["id"], &reply["error"]["code"]),
            (&json!(7), &json!(-32002))
        );
    }
    agreed(&one, "unsubscribe", "refused:a").await;
    let refused = json!(["subscribe", "refused:a"]);
    assert_eq!(wishes(&client).await, json!([refused, refused, refused]));
    let mut stream = other.listen().await;
    agreed(&one, "subscribe", "a").await;
    let change = json!({"uri": "refused:a", "whole": "a"});
    client.call(1, "update", change).await;
    is_told_of_a_list(&client, &mut [&mut stream]).await;
}

#[tokio::test]
async fn who_waited_for_an_answer_that_was_a_refusal_asks_again() {
    let (server, client) = start().await;
    let (one, other) = (client.begin().await, client.begin().await);
    let (first, second, ()) = tokio::join!(
        wish(&one, "subscribe", "once:a"),
        wish(&other, "subscribe", "once:a"),
        async {
            subscribed(&server, 2).await;
            asked(&client, json!([["subscribe", "once:a"]])).await;
            release(&client).await;
        }
    );
    let refused = [first, second].map(|reply| reply.json()["error"].is_object());
    assert!(refused[0] != refused[1], "{refused:?}");
    let wish = json!(["subscribe", "once:a"]);
    assert_eq!(wishes(&client).await, json!([wish, wish]));
}

#[tokio::test]
async fn the_end_of_a_session_takes_its_subscriptions_back() {
    let idle = Duration::from_millis(50);
    let options = ServeOptions {
        session_idle: idle,
        ..one_child()
    };
    let (_server, client) = start_with(options).await;
    let [(one, first), (other, mut second)] = two_sessions(&client).await;
    agreed(&one, "subscribe", "a").await;
    agreed(&other, "subscribe", "a").await;
    assert_eq!(one.send(Method::DELETE, "").await.status, 200);
    drop(first);
    update(&client, "a").await;
    is_told(&mut second, "a").await;
    assert_eq!(wishes(&client).await, json!([["subscribe", "a"]]));
    drop(second); // nobody uses the session any more
    asked(&client, json!([["subscribe", "a"], ["unsubscribe", "a"]])).await;
}

#[tokio::test]
async fn a_session_has_so_many_subscriptions_and_no_more() {
    let (_server, client) = start().await;
    let session = client.begin().await;
    for number in 0..256 {
        agreed(&session, "subscribe", &number.to_string()).await;
    }
    let refused = wish(&session, "subscribe", "one more").await;
    assert_eq!(
        (refused.json()["error"]["code"].clone(), refused.kind()),
        (json!(-32052), "busy".to_owned())
    );
    agreed(&session, "subscribe", "0").await;
    agreed(&client.begin().await, "subscribe", "one more").await;
    agreed(&session, "unsubscribe", "0").await;
    agreed(&session, "subscribe", "one more").await;
    let long = wish(&session, "subscribe", &"x".repeat(3000)).await;
    assert_eq!(long.kind(), "bad_params");
    let unnamed = session
        .post(&request(1, "resources/subscribe", json!({})))
        .await;
    assert_eq!(unnamed.kind(), "bad_params");
}

#[tokio::test]
async fn a_change_under_a_name_that_nobody_gave_is_told_to_nobody() {
    let (_server, client) = start().await;
    let [(one, mut whole), (other, mut part)] = two_sessions(&client).await;
    agreed(&one, "subscribe", "file:///a").await;
    agreed(&other, "subscribe", "file:///a/b").await;
    for uri in ["file:///a/c/d", "file:///a/b/c"] {
        let change = json!({"uri": uri, "whole": "file:///a"});
        client.call(1, "update", change).await;
    }
    let change = json!({"uri": "file:///a/b", "whole": "file:///a"});
    client.call(1, "update", change).await;
    is_told(&mut part, "file:///a/b").await;
    client
        .call(
            1,
            "update",
            json!({"uri": "file:///ab", "whole": "file:///a"}),
        )
        .await;
    is_told_of_a_list(&client, &mut [&mut whole, &mut part]).await;
}

#[tokio::test]
async fn only_sessions_of_shared_children_are_offered_it() {
    for (mode, offered) in [
        (Mode::Shared, json!({"subscribe": true})),
        (Mode::Stateless, json!({})),
        (Mode::Exclusive, json!({})),
    ] {
        let (_server, client) =
            start_with(options(script("plunge-test", &["resources"]), mode)).await;
        let hello = client.post(&initialize("2025-06-18")).await.json();
        assert_eq!(
            hello["result"]["capabilities"]["resources"], offered,
            "{mode:?}"
        );
        let (session, outside) = (client.begin().await, wish(&client, "subscribe", "a").await);
        if mode == Mode::Shared {
            assert_eq!(
                (outside.status.as_u16(), outside.kind()),
                (400, "bad_header".to_owned())
            );
            continue;
        }
        for reply in [outside, wish(&session, "subscribe", "a").await] {
            assert_eq!(reply.json()["error"]["code"], -32601, "{mode:?}");
        }
    }
}
