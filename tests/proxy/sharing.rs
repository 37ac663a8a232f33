//! `shared` mode: few children, many clients, nothing of one seen by another.

use std::collections::HashSet;

use hyper::Method;
use plunge::proxy::Mode;
use serde_json::{Value, json};

use crate::client::{request, tool};
use crate::fixture::{
    PATIENCE, eventually, in_flight, marker, options, processes, script, start, start_with,
};

fn with_token(mut message: Value, token: Value) -> Value {
    message["params"]["_meta"] = json!({"progressToken": token});
    message
}

#[tokio::test]
async fn a_request_needs_no_session() {
    let (_server, client) = start(Mode::Shared).await;
    let reply = client.call("x", "echo", json!({"a": 1})).await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.json()["id"].clone(),
            reply.text()
        ),
        (200, json!("x"), "{\"a\": 1}".to_owned())
    );
}

#[tokio::test]
async fn initialize_is_answered_from_the_childs_handshake() {
    let (_server, client) = start(Mode::Shared).await;
    let (one, other) = (client.begin_at("2025-03-26").await, client.begin().await);
    assert_ne!(one.session, other.session);
    assert_eq!(
        one.call(1, "pid", json!({})).await.text(),
        other.call(1, "pid", json!({})).await.text()
    );
    let reply = client.post(&crate::client::initialize("2025-11-25")).await;
    let result = &reply.json()["result"];
    assert_eq!(
        result["offered"],
        json!({}),
        "the child sees no client's capabilities"
    );
    assert_eq!(
        result["capabilities"],
        json!({"tools": {"listChanged": true}}),
        "what cannot be shared is not offered"
    );
}

#[tokio::test]
async fn a_hundred_clients_with_equal_ids_get_their_own_answers() {
    let (_server, client) = start(Mode::Shared).await;
    let calls = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let id = if number % 2 == 0 {
                json!(1)
            } else {
                json!("1")
            };
            let reply = client
                .call(id.clone(), "echo", json!({"number": number}))
                .await;
            assert_eq!(reply.json()["id"], id);
            assert_eq!(reply.text(), format!("{{\"number\": {number}}}"));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn equal_progress_tokens_of_two_clients_never_mix() {
    let (_server, client) = start(Mode::Shared).await;
    let talk = |id: u32, token: Value, steps: u32| {
        let client = client.clone();
        async move {
            let message = with_token(tool(id, "progress", json!({"steps": steps})), token.clone());
            let mut events = client.stream(&message).await;
            assert_eq!(events.headers["content-type"], "text/event-stream");
            for step in 0..steps {
                let event = events.next().await.unwrap();
                assert_eq!(
                    (
                        &event["params"]["progressToken"],
                        &event["params"]["progress"]
                    ),
                    (&token, &json!(step))
                );
            }
            assert_eq!(events.next().await.unwrap()["id"], id);
            assert!(events.next().await.is_none());
        }
    };
    tokio::join!(
        talk(1, json!("t"), 20),
        talk(1, json!("t"), 30),
        talk(2, json!(7), 10)
    );
}

#[tokio::test]
async fn a_cancellation_reaches_only_the_senders_own_request() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_connections = Some(1);
    let (server, client) = start_with(options).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let (first, second) = (one.hang(1), other.hang(1));
    in_flight(&server, 2).await;
    assert_eq!(
        client.cancel(1).await.status,
        202,
        "outside a session it names nobody"
    );
    assert_eq!(other.cancel(1).await.status, 202);
    assert_eq!(second.await.unwrap().kind(), "cancelled");
    in_flight(&server, 1).await;
    let told = one.call(2, "cancelled", json!({})).await.text();
    let told: Vec<Value> = serde_json::from_str(&told).unwrap();
    assert_eq!(told.len(), 1);
    assert_ne!(told[0]["requestId"], 1, "the child sees its own ids");
    assert_eq!(one.cancel(1).await.status, 202);
    assert_eq!(first.await.unwrap().kind(), "cancelled");
}

#[tokio::test]
async fn a_question_of_the_child_is_refused_and_its_ping_answered() {
    let (_server, client) = start(Mode::Shared).await;
    let session = client.begin().await;
    let refused: Value =
        serde_json::from_str(&session.call(1, "ask", json!({})).await.text()).unwrap();
    assert_eq!(refused["error"]["code"], -32601);
    let answered: Value = serde_json::from_str(
        &session
            .call(2, "ask", json!({"method": "ping", "id": 5}))
            .await
            .text(),
    )
    .unwrap();
    assert_eq!(answered["result"], json!({}));
}

#[tokio::test]
async fn a_changed_list_is_told_to_everybody_who_listens() {
    let (_server, client) = start(Mode::Shared).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let (mut first, mut second) = (one.listen().await, other.listen().await);
    assert_eq!(
        (
            first.status.as_u16(),
            first.headers["x-accel-buffering"].to_str().unwrap()
        ),
        (200, "no")
    );
    assert_eq!(first.headers["cache-control"], "no-cache");
    client.call(1, "changed", json!({})).await;
    for stream in [&mut first, &mut second] {
        assert_eq!(
            stream.next().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
}

#[tokio::test]
async fn a_list_that_changed_while_nobody_listened_is_told_of_on_the_next_stream() {
    let (_server, client) = start(Mode::Shared).await;
    let session = client.begin().await;
    for stream in 0..2 {
        for _ in 0..2 {
            client.call(1, "changed", json!({})).await;
        }
        // The second one goes on behind the first, as far as its client knows.
        let mut events = session.with("last-event-id", "1-1").listen().await;
        let told = events.next().await.unwrap();
        assert_eq!(
            told["method"], "notifications/tools/list_changed",
            "{stream}"
        );
    }
}

#[tokio::test]
async fn what_a_child_logs_reaches_a_client_only_where_it_served_nobody_else() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_connections = Some(1);
    let (_server, client) = start_with(options).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let log = |id: u32| tool(id, "log", json!({"data": "of one of them"}));
    for id in [1, 2] {
        let mut events = one.stream(&log(id)).await;
        let told = events.next().await.unwrap();
        assert_eq!(told["params"]["data"], "of one of them");
        assert_eq!(events.next().await.unwrap()["id"], id);
    }
    for client in [&other, &one, &client] {
        assert_eq!(client.post(&log(3)).await.text(), "logged", "and no more");
    }
}

#[tokio::test]
async fn what_would_change_another_clients_view_is_not_offered() {
    let (_server, client) = start(Mode::Shared).await;
    let level = request(1, "logging/setLevel", json!({}));
    let reply = client.post(&level).await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.json()["error"]["code"].as_i64()
        ),
        (200, Some(-32601))
    );
}

#[tokio::test]
async fn crowded_children_get_company_up_to_the_limit() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_connections = Some(3);
    let (_server, client) = start_with(options).await;
    let mut pids = HashSet::new();
    while pids.len() < 3 {
        let calls: Vec<_> = (0..60)
            .map(|number| {
                let client = client.clone();
                tokio::spawn(async move { client.call(number, "pid", json!({})).await.text() })
            })
            .collect();
        for call in calls {
            pids.insert(call.await.unwrap());
        }
    }
    assert_eq!(pids.len(), 3);
}

#[tokio::test]
async fn a_full_child_makes_requests_wait_and_then_come_back_later() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    (options.max_connections, options.max_in_flight) = (Some(1), 1);
    options.acquire_timeout = std::time::Duration::from_millis(300);
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let hanging = session.hang(1);
    in_flight(&server, 1).await;
    let refused = client.call(2, "echo", json!({})).await;
    assert!(refused.is_busy(), "{refused:?}");
    let waiting = client.start(tool(3, "echo", json!({})));
    session.cancel(1).await;
    hanging.await.unwrap();
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_session_ends_by_delete_and_the_children_stay() {
    let (_server, client) = start(Mode::Shared).await;
    let session = client.begin().await;
    let pid = session.call(1, "pid", json!({})).await.text();
    assert_eq!(session.send(Method::DELETE, "").await.status, 200);
    assert_eq!(session.call(2, "pid", json!({})).await.status, 404);
    assert_eq!(client.call(2, "pid", json!({})).await.text(), pid);
}

#[tokio::test]
async fn as_many_children_as_asked_for_are_kept_ready() {
    let mark = marker("ready-children");
    let mut options = options(script(&mark, &[]), Mode::Shared);
    (options.min_idle, options.max_connections) = (3, Some(4));
    let (_server, client) = start_with(options).await;
    eventually("three children serve", || processes(&mark).len() == 3).await;
    let dying = client.call(1, "die", json!({})).await;
    assert_eq!(dying.kind(), "child_died");
    eventually("three serve again", || processes(&mark).len() == 3).await;
}

#[tokio::test]
async fn a_cancellation_of_an_id_that_was_used_twice_ends_both_requests() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_connections = Some(1);
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let both = [session.hang(1), session.hang(1)];
    in_flight(&server, 2).await;
    session.cancel(1).await;
    for hanging in both {
        let reply = tokio::time::timeout(PATIENCE, hanging).await;
        assert_eq!(reply.expect("its end").unwrap().kind(), "cancelled");
    }
    in_flight(&server, 0).await;
}
