//! `shared` mode: resources that several children may tell of, one of which is heard.

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, Events};
use crate::fixture::{eventually, in_flight, marker, options, script, start_with, stats};
use crate::subscribing::{
    UPDATED, agreed, asked, is_told, is_told_of_a_list, two_sessions, update, wish, wishes,
};

/// Two children. A call goes to the one with less to do, and to the first where both have the same.
async fn two() -> (Server, Client) {
    let options = ServeOptions {
        max_connections: Some(2),
        min_idle: 2,
        ..options(script("plunge-test", &["resources"]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    while children(&server).await.len() < 2 {}
    (server, client)
}

async fn children(server: &Server) -> Vec<Value> {
    let figures = stats(server.admin_address()).await;
    figures["children"].as_array().unwrap().clone()
}

/// Gives a child something to do until it is cancelled; it tells of this resource all the time, if it was asked to.
async fn occupy(server: &Server, session: &Client, id: u32, uri: &str, others: u64) {
    let (session, uri) = (session.clone(), uri.to_owned());
    tokio::spawn(async move { session.call(id, "endless", json!({"uri": uri})).await });
    in_flight(server, others + 1).await;
}

/// The next message is a change that this child told of.
async fn is_told_by(stream: &mut Events, child: &Value) {
    let message = stream.next().await.unwrap();
    assert_eq!(
        (&message["method"], &message["params"]["by"]),
        (&json!(UPDATED), &child["pid"])
    );
}

#[tokio::test]
async fn a_child_that_goes_on_telling_is_not_heard_beside_the_one_that_was_asked() {
    let (server, client) = two().await;
    let (one, other) = (client.begin().await, client.begin().await);
    agreed(&one, "subscribe", "deaf:a").await;
    agreed(&one, "unsubscribe", "deaf:a").await;
    occupy(&server, &one, 1, "deaf:a", 0).await;
    let mut stream = other.listen().await;
    agreed(&other, "subscribe", "deaf:a").await;
    let now = children(&server).await;
    let dropped = |child: &Value| child["dropped_lines"].as_u64().unwrap();
    while dropped(&children(&server).await[0]) < dropped(&now[0]) + 3 {}
    update(&client, "deaf:a").await;
    is_told_by(&mut stream, &now[1]).await;
    is_told_of_a_list(&client, &mut [&mut stream]).await;
}

#[tokio::test]
async fn a_child_that_did_not_say_whether_it_tells_is_asked_not_to() {
    let (server, client) = two().await;
    let (one, other) = (client.begin().await, client.begin().await);
    let mark = std::env::temp_dir().join(marker("mute"));
    let uri = format!("mute:{}", mark.display());
    let unanswered = tokio::spawn({
        let (one, uri) = (one.clone(), uri.clone());
        async move { wish(&one, "subscribe", &uri).await }
    });
    eventually("it was asked", || mark.exists()).await;
    // In the end the one that was asked has more to do than the other.
    occupy(&server, &one, 1, "", 1).await;
    occupy(&server, &one, 2, "", 2).await;
    one.cancel(1).await;
    one.cancel(7).await;
    assert_eq!(unanswered.await.unwrap().kind(), "cancelled");
    in_flight(&server, 1).await;
    let mut stream = other.listen().await;
    agreed(&other, "subscribe", &uri).await;
    update(&client, &uri).await;
    is_told_by(&mut stream, &children(&server).await[1]).await;
    assert_eq!(wishes(&client).await, json!([["subscribe", uri]]));
    one.cancel(2).await;
    asked(&client, json!([["subscribe", uri], ["unsubscribe", uri]])).await;
    is_told_of_a_list(&client, &mut [&mut stream]).await;
    std::fs::remove_file(mark).unwrap();
}

#[tokio::test]
async fn a_death_moves_what_that_child_told_of_and_nothing_else() {
    let (server, client) = two().await;
    let [(one, mut first), (other, mut second)] = two_sessions(&client).await;
    agreed(&one, "subscribe", "a").await;
    occupy(&server, &one, 1, "", 0).await;
    agreed(&other, "subscribe", "b").await;
    assert_eq!(client.call(1, "die", json!({})).await.kind(), "child_died");
    is_told(&mut second, "b").await;
    let subscribed = stats(server.admin_address()).await["subscribed"].clone();
    let expected = json!({"resources": 2, "subscriptions": 2, "untold": 0, "listening": 0});
    assert_eq!(subscribed, expected);
    one.cancel(1).await;
    in_flight(&server, 0).await;
    update(&client, "a").await;
    is_told(&mut first, "a").await;
    is_told_of_a_list(&client, &mut [&mut first, &mut second]).await;
}
