//! `subscriptions/listen` of revision 2026-07-28: who listens, for what, until when.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Upstream};
use serde_json::{Value, json};

use crate::client::{modern, modern_tool};
use crate::fixture::{
    PATIENCE, eventually, http_options, in_flight, options, script, start, start_with, stats,
};
use crate::modern::stateless;
use crate::program::Program;
use crate::upstream::{Act, Seen, Stage, message};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

#[tokio::test]
async fn two_clients_with_one_id_listen_and_each_sees_its_own_tag() {
    let (_server, client) = start_with(stateless(1, &["modern"])).await;
    let listen = |id: Value| {
        modern(
            id,
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        )
    };
    let (mut one, mut other) = (
        client.stream_modern(&listen(json!(1))).await,
        client.stream_modern(&listen(json!("1"))).await,
    );
    for (events, id) in [(&mut one, json!(1)), (&mut other, json!("1"))] {
        let acknowledged = events.next().await.unwrap();
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
        assert_eq!(acknowledged["params"]["_meta"][TAG], id);
    }
    client
        .post_modern(&modern_tool(1, "publish", json!({})))
        .await;
    for (events, id) in [(&mut one, json!(1)), (&mut other, json!("1"))] {
        let changed = events.next().await.unwrap();
        assert_eq!(
            (&changed["method"], &changed["params"]["_meta"][TAG]),
            (&json!("notifications/tools/list_changed"), &id)
        );
    }
    client
        .post_modern(&modern_tool(1, "unlisten", json!({})))
        .await;
    for (events, id) in [(&mut one, json!(1)), (&mut other, json!("1"))] {
        let ended = events.next().await.unwrap();
        assert_eq!((&ended["id"], &ended["result"]["_meta"][TAG]), (&id, &id));
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn changes_of_a_server_with_a_handshake_come_to_those_who_listen_for_them() {
    for mode in [Mode::Shared, Mode::Stateless, Mode::Exclusive] {
        let (_server, client) = start(mode).await;
        let wants =
            json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}});
        let mut events = client
            .stream_modern(&modern("l", "subscriptions/listen", wants))
            .await;
        assert_eq!(
            events.next().await.unwrap()["params"]["notifications"],
            json!({"toolsListChanged": true})
        );
        client
            .post_modern(&modern_tool(3, "changed", json!({})))
            .await;
        let changed = events.next().await.unwrap();
        assert_eq!(changed["method"], "notifications/tools/list_changed");
        assert_eq!(changed["params"]["_meta"][TAG], "l");
    }
}

#[tokio::test]
async fn a_subscription_outlives_its_child_and_all_of_it_is_told_once() {
    let (_server, client) = start_with(stateless(1, &["modern"])).await;
    let wants =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}});
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", wants))
        .await;
    let mut told = async || {
        let event = events.next().await.unwrap();
        assert_eq!(event["params"]["_meta"][TAG], "mine", "{event}");
        event["method"].as_str().unwrap().to_owned()
    };
    let (changed, updated) = (
        "notifications/tools/list_changed",
        "notifications/resources/updated",
    );
    assert_eq!(told().await, "notifications/subscriptions/acknowledged");
    for _ in 0..2 {
        let died = client.post_modern(&modern_tool(1, "die", json!({}))).await;
        assert_eq!(died.kind(), "child_died");
        assert_eq!([told().await, told().await], [changed, updated]);
        client
            .post_modern(&modern_tool(2, "publish", json!({})))
            .await;
        assert_eq!(told().await, changed);
    }
    client
        .post_modern(&modern_tool(3, "unlisten", json!({})))
        .await;
    assert_eq!(events.next().await.unwrap()["id"], "mine");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_with_a_server_that_does_not_come_back_ends_by_name() {
    let program = Program::new("unsubscribed");
    let command = program.command(&["modern"]);
    let (_server, client) = start_with(options(command, Mode::Stateless)).await;
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", json!({})))
        .await;
    assert!(events.next().await.is_some());
    program.take_away();
    client.post_modern(&modern_tool(1, "die", json!({}))).await;
    let end = events.next().await.unwrap();
    assert_eq!(
        (&end["id"], &end["error"]["data"]["kind"]),
        (&json!("mine"), &json!("no_child"))
    );
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_its_subscription_ends_it_at_the_child() {
    let (server, client) = start_with(stateless(1, &["modern"])).await;
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", json!({})))
        .await;
    assert!(events.next().await.is_some());
    drop(events);
    let begun = std::time::Instant::now();
    loop {
        let told = client
            .post_modern(&modern_tool(1, "cancelled", json!({})))
            .await;
        if told.text().contains("the client went away") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{told:?}");
    }
    drop(server);
}

#[tokio::test]
async fn a_subscription_that_waits_for_its_child_holds_no_shutdown_up() {
    // The first child without a session answers late.
    let options = ServeOptions {
        connect_timeout: Duration::from_secs(7),
        ..options(script("plunge-test", &["modern", "late"]), Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let listen = modern(1, "subscriptions/listen", json!({"notifications": {}}));
    let listening = tokio::spawn(async move { client.post_modern(&listen).await });
    while stats(server.admin_address()).await["in_flight"] != 1 {}
    assert_eq!(server.shutdown(PATIENCE).await.cut, 0);
    assert_eq!(listening.await.unwrap().kind(), "closing");
}

#[tokio::test]
async fn a_shutdown_ends_subscriptions_in_order() {
    for flags in [&["modern"][..], &[]] {
        let (server, client) = start_with(stateless(1, flags)).await;
        let mut events = client
            .stream_modern(&modern("mine", "subscriptions/listen", json!({})))
            .await;
        assert!(events.next().await.is_some());
        let shutdown = tokio::spawn(server.shutdown(PATIENCE));
        let end = events.next().await.unwrap();
        assert_eq!(
            (&end["id"], &end["result"]["resultType"]),
            (&json!("mine"), &json!("complete"))
        );
        assert!(events.next().await.is_none());
        assert_eq!(shutdown.await.unwrap().cut, 0);
    }
}

#[tokio::test]
async fn a_subscription_needs_no_place_of_a_request() {
    let options = ServeOptions {
        max_in_flight: 1,
        ..stateless(1, &["modern"])
    };
    let (server, client) = start_with(options).await;
    let hanging = client.start_modern(modern_tool(1, "hang", json!({})));
    in_flight(&server, 1).await;
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", json!({})))
        .await;
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    hanging.abort();
}

#[tokio::test]
async fn a_subscription_that_waits_for_a_child_needs_no_place_of_a_request_either() {
    let options = ServeOptions {
        max_in_flight: 1,
        ..stateless(1, &["modern"])
    };
    let (_server, client) = start_with(options).await;
    client.post_modern(&modern_tool(1, "die", json!({}))).await;
    let call = |id: u32| client.start_modern(modern_tool(id, "hang", json!({})));
    let hanging: Vec<_> = (0..20).map(call).collect(); // one of them takes the only place
    let mut events = client
        .stream_modern(&modern("mine", "subscriptions/listen", json!({})))
        .await;
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    hanging.iter().for_each(|hanging| hanging.abort());
}

/// A server over HTTP that acknowledges subscriptions, says this, and ends the stream or not.
async fn acknowledging(says: fn(&Seen) -> String, ends: bool) -> Stage {
    Stage::open(move |seen| {
        Some(match seen.asks() {
            "server/discover" => seen.discovered(json!({})),
            "subscriptions/listen" => {
                let method = "notifications/subscriptions/acknowledged";
                let meta = json!({"_meta": {TAG: seen.body["id"]}, "notifications": {}});
                let acknowledged = json!({"jsonrpc": "2.0", "method": method, "params": meta});
                Act::Stream(message(&acknowledged) + &says(seen), ends)
            }
            _ => return None,
        })
    })
    .await
}

fn listens(stage: &Stage) -> Vec<Seen> {
    stage.seen(|seen| seen.asks() == "subscriptions/listen")
}

#[tokio::test]
async fn a_subscription_that_is_sent_again_is_part_of_its_clients_trace() {
    let stage = acknowledging(|_| String::new(), false).await;
    let options = ServeOptions {
        max_connections: Some(1),
        max_lifetime: Some(Duration::from_millis(500)),
        ..http_options(stage.address, Mode::Stateless)
    };
    let (_server, client) = start_with(options).await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    let client = client.with("traceparent", &format!("00-{id}-b7ad6b7169203331-01"));
    let listen = modern("mine", "subscriptions/listen", json!({}));
    let _events = client.stream_modern(&listen).await;
    eventually("it moved to another session", || listens(&stage).len() > 1).await;
    for sent in listens(&stage) {
        let parent = sent.header("traceparent").unwrap_or_default();
        assert!(parent.contains(id), "{sent:?}");
    }
}

#[tokio::test]
async fn a_subscription_that_a_server_over_http_takes_back_is_not_asked_for_again() {
    let cancels = |seen: &Seen| {
        let named = json!({"requestId": seen.body["id"]});
        let method = "notifications/cancelled";
        message(&json!({"jsonrpc": "2.0", "method": method, "params": named}))
    };
    let stage = acknowledging(cancels, true).await;
    let mut options = http_options(stage.address, Mode::Stateless);
    if let Upstream::Http(upstream) = &mut options.upstream {
        upstream.reconnect.spread = Duration::from_millis(1);
    }
    let (_server, client) = start_with(options).await;
    let listen = modern("mine", "subscriptions/listen", json!({}));
    let mut events = client.stream_modern(&listen).await;
    assert!(events.next().await.is_some());
    assert_eq!(events.next().await.unwrap()["id"], "mine");
    assert!(events.next().await.is_none());
    for id in 0..20 {
        let reply = client.post_modern(&modern_tool(id, "any", json!({}))).await;
        assert_eq!(reply.text(), "called"); // meanwhile another one would come
    }
    assert_eq!(listens(&stage).len(), 1);
}
