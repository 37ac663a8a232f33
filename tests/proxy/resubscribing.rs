//! `shared` mode: what becomes of subscriptions to resources where a child dies or makes way, or a stream breaks.

use std::sync::Arc;
use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::Events;
use crate::fixture::{PATIENCE, eventually, in_flight, start_with, stats};
use crate::remote::quick;
use crate::subscribing::{
    CHANGED, UPDATED, agreed, asked, is_told, is_told_of_a_list, one_child, start, two_sessions,
    update, wish, wishes,
};
use crate::upstream::{Act, Seen, Stage, message};

#[tokio::test]
async fn a_dead_childs_subscriptions_are_asked_of_the_next_and_told_as_changed() {
    let (_server, client) = start().await;
    let [(one, mut first), (other, mut second)] = two_sessions(&client).await;
    agreed(&one, "subscribe", "a").await;
    agreed(&other, "subscribe", "b").await;
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    for (stream, uri) in [(&mut first, "a"), (&mut second, "b")] {
        is_told(stream, uri).await;
        update(&client, uri).await;
        is_told(stream, uri).await;
    }
    is_told_of_a_list(&client, &mut [&mut first, &mut second]).await;
    assert_eq!(wishes(&client).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_resource_that_kills_each_child_is_a_typed_error_and_leaves_the_others() {
    let (_server, client) = start().await;
    let session = client.begin().await;
    let mut stream = session.listen().await;
    agreed(&session, "subscribe", "a").await;
    assert_eq!(
        wish(&session, "subscribe", "die:a").await.kind(),
        "child_died"
    );
    is_told(&mut stream, "a").await;
    asked(&client, json!([["subscribe", "a"]])).await;
}

#[tokio::test]
async fn a_child_that_makes_way_hands_its_subscriptions_on() {
    let options = ServeOptions {
        max_lifetime: Some(Duration::from_millis(1500)),
        ..one_child()
    };
    let (_server, client) = start_with(options).await;
    let session = client.begin().await;
    let mut stream = session.listen().await;
    agreed(&session, "subscribe", "a").await;
    let updating = tokio::spawn(async move {
        loop {
            update(&client, "a").await;
        }
    });
    let mut tellers = std::collections::HashSet::new();
    while tellers.len() < 3 {
        let message = stream.next().await.unwrap();
        assert_eq!(message["method"], UPDATED);
        tellers.extend(message["params"]["by"].as_u64());
    }
    updating.abort();
}

#[tokio::test]
async fn more_subscriptions_than_a_child_has_uses_wear_none_out() {
    let options = ServeOptions {
        max_uses: Some(10),
        ..one_child()
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let mut stream = session.listen().await;
    for number in 0..20 {
        agreed(&session, "subscribe", &number.to_string()).await;
    }
    assert_eq!(wishes(&client).await.as_array().unwrap().len(), 20);
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    for _ in 0..20 {
        assert_eq!(stream.next().await.unwrap()["method"], UPDATED);
    }
    assert_eq!(wishes(&client).await.as_array().unwrap().len(), 20);
    let recycled = stats(server.admin_address()).await["recycled"]["uses"].clone();
    assert_eq!(recycled, 0);
}

#[tokio::test]
async fn a_death_under_many_subscriptions_is_one_failure() {
    let (server, client) = start().await;
    let session = client.begin().await;
    let mut asking = tokio::task::JoinSet::new();
    let ask = |uri: String| {
        let session = session.clone();
        async move { wish(&session, "subscribe", &uri).await }
    };
    for number in 0..11 {
        asking.spawn(ask(format!("held:{number}")));
    }
    in_flight(&server, 11).await;
    asking.spawn(ask("die:a".to_owned()));
    for reply in asking.join_all().await {
        assert_eq!(reply.kind(), "child_died");
    }
    let upstream = stats(server.admin_address()).await["upstream"].clone();
    assert_eq!(upstream["times_opened"], 0, "{upstream}");
    agreed(&session, "subscribe", "a").await;
}

/// A server over HTTP that offers subscriptions; so it answers who asks for its own stream.
async fn offering(stream: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Stage {
    Stage::open(move |seen| {
        Some(match (seen.method.as_str(), seen.asks()) {
            ("POST", "initialize") => {
                let offers = json!({"resources": {"subscribe": true}});
                let version = &seen.body["params"]["protocolVersion"];
                Act::json(seen.result(json!({"protocolVersion": version, "capabilities": offers})))
            }
            ("GET", _) => stream(seen),
            _ => return None,
        })
    })
    .await
}

/// A proxy with one session there, and the stream of a client that is subscribed to `a`.
async fn before_one(stage: &Stage) -> (Server, Events) {
    let options = ServeOptions {
        max_connections: Some(1),
        max_body_bytes: 2000,
        ..quick(stage, Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let stream = session.listen().await;
    eventually("the server's own stream is asked for", || {
        opened(stage) == 1
    })
    .await;
    agreed(&session, "subscribe", "a").await;
    (server, stream)
}

fn opened(stage: &Stage) -> usize {
    stage.seen(|seen| seen.method == "GET").len()
}

#[tokio::test]
async fn what_a_shared_stream_may_have_missed_is_told_as_changed() {
    let stage = offering(|_| Act::Stream(String::new(), false)).await;
    let (_server, mut stream) = before_one(&stage).await;
    stage.cut();
    let told = tokio::time::timeout(PATIENCE, is_told(&mut stream, "a"));
    told.await.expect("its change in time");
    assert_eq!(opened(&stage), 2);
}

#[tokio::test]
async fn what_an_event_of_a_shared_stream_was_too_long_to_tell_is_told_as_changed_once() {
    let gate = Arc::new(Semaphore::new(0));
    let stage = offering({
        let gate = gate.clone();
        move |seen| match seen.nth {
            0 => {
                let long = json!({"jsonrpc": "2.0", "method": "x".repeat(5000)});
                Act::After(gate.clone(), Act::Stream(message(&long), true).into())
            }
            _ => {
                let last = json!({"jsonrpc": "2.0", "method": CHANGED});
                Act::Stream(message(&last), false)
            }
        }
    })
    .await;
    let (_server, mut stream) = before_one(&stage).await;
    gate.add_permits(1);
    let mut told = Vec::new();
    while told.last().is_none_or(|method| method != CHANGED) {
        told.push(stream.next().await.unwrap()["method"].clone());
    }
    // As it opened, as it was back, and what it said then.
    assert_eq!(told, [UPDATED, UPDATED, CHANGED]);
}
