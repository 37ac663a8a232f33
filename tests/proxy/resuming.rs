//! Streams that break and come back.

use plunge::proxy::Mode;
use serde_json::json;

use crate::client::{Client, tool};
use crate::fixture::{start, stats};

fn progress(id: u32, steps: u32) -> serde_json::Value {
    let mut message = tool(id, "progress", json!({"steps": steps}));
    message["params"]["_meta"] = json!({"progressToken": "t"});
    message
}

fn after(client: &Client, id: &str) -> Client {
    let mut client = client.clone();
    client.extra.push(("last-event-id", id.to_owned()));
    client
}

#[tokio::test]
async fn a_stream_tells_its_client_how_to_come_back_before_anything_else() {
    let (_server, client) = start(Mode::Session).await;
    let mut pauses = std::collections::HashSet::new();
    for _ in 0..8 {
        let session = client.begin().await;
        let mut events = session.listen().await;
        let first = events.next_event().await.unwrap();
        assert_eq!(
            (first.id.as_deref(), first.data.as_deref()),
            (Some("1-0"), Some(""))
        );
        let pause = first.retry.unwrap();
        assert!((500..3500).contains(&pause));
        pauses.insert(pause);
    }
    assert!(pauses.len() > 1, "each client another pause: {pauses:?}");
    let old = client.begin_at("2025-06-18").await;
    let first = old.listen().await.next_event().await.unwrap();
    assert_eq!(
        (first.id, first.data),
        (None, None),
        "an event without a message breaks older clients"
    );
    assert!(first.retry.is_some());
}

#[tokio::test]
async fn a_requests_stream_that_broke_is_replayed_from_the_next_event_on_and_goes_on() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut asked = session.stream(&tool(1, "ask", json!({"id": "q"}))).await;
    assert_eq!(asked.next_event().await.unwrap().id.as_deref(), Some("1-0"));
    let question = asked.next_event().await.unwrap();
    assert_eq!(question.id.as_deref(), Some("1-1"));
    drop(asked);
    let answer = json!({"jsonrpc": "2.0", "id": "q", "result": {}});
    assert_eq!(session.post(&answer).await.status, 202);
    let mut again = after(&session, "1-0").listen().await;
    assert_eq!(
        again.next().await.unwrap()["id"],
        "q",
        "not lost: it was after 1-0"
    );
    assert_eq!(again.next().await.unwrap()["id"], 1);
    assert!(again.next().await.is_none());
    let mut last = after(&session, "1-1").listen().await;
    assert_eq!(last.next().await.unwrap()["id"], 1, "and not repeated");
    assert!(last.next().await.is_none());
}

#[tokio::test]
async fn every_place_of_a_stream_can_be_come_back_to_and_only_that_stream_is_replayed() {
    let (_server, client) = start(Mode::Shared).await;
    let session = client.begin().await;
    for request in [1, 2] {
        let mut events = session.stream(&progress(request, 20)).await;
        while events.next().await.is_some() {}
    }
    for place in 0..=20 {
        let mut events = after(&session, &format!("2-{place}")).listen().await;
        for step in place..20 {
            assert_eq!(events.next().await.unwrap()["params"]["progress"], step);
        }
        assert_eq!(events.next().await.unwrap()["id"], 2);
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn who_comes_back_before_its_break_was_seen_takes_the_stream_over() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut old = session.listen().await;
    assert_eq!(old.next().await.unwrap()["params"]["data"], "hello");
    let mut new = after(&session, "1-1").listen().await;
    assert!(old.next().await.is_none());
    session.call(1, "changed", json!({})).await;
    assert_eq!(
        new.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn what_a_broken_stream_did_not_bring_comes_on_the_next_one() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut old = session.listen().await;
    assert_eq!(old.next().await.unwrap()["params"]["data"], "hello");
    drop(old);
    session.call(1, "changed", json!({})).await;
    let mut new = after(&session, "1-1").listen().await;
    assert_eq!(
        new.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
}

#[tokio::test]
async fn an_id_of_another_session_or_of_nothing_opens_a_new_stream() {
    let (_server, client) = start(Mode::Session).await;
    let (one, other) = (client.begin().await, client.begin().await);
    let mut events = one.stream(&progress(1, 3)).await;
    while events.next().await.is_some() {}
    for id in ["1-0", "7-0", "1-99", "nonsense"] {
        let mut events = after(&other, id).listen().await;
        assert_eq!(events.status, 200);
        other.call(1, "changed", json!({})).await;
        while let Some(message) = events.next().await {
            let method = message["method"].as_str().unwrap();
            assert_ne!(
                method, "notifications/progress",
                "another session's message"
            );
            if method == "notifications/tools/list_changed" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_is_kept_of_streams_has_bounds_and_who_comes_back_behind_them_gets_what_is_left() {
    let (_server, client) = start(Mode::Shared).await;
    let session = client.begin().await;
    let read = async |message: &serde_json::Value| {
        let mut events = session.stream(message).await;
        while events.next().await.is_some() {}
    };
    read(&progress(1, 300)).await;
    let mut late = after(&session, "1-100").listen().await;
    assert_eq!(late.next().await.unwrap()["params"]["progress"], 100);
    drop(late);
    let begins_anew = async |id: &str| {
        let mut events = after(&session, id).listen().await;
        session.call(9, "changed", json!({})).await;
        let first = events.next().await.unwrap();
        assert_eq!(first["method"], "notifications/tools/list_changed", "{id}");
    };
    let mut early = after(&session, "1-10").listen().await;
    for step in 45..300 {
        assert_eq!(early.next().await.unwrap()["params"]["progress"], step);
    }
    assert_eq!(early.next().await.unwrap()["id"], 1, "the answer is kept");
    assert!(early.next().await.is_none());
    for id in 2..18 {
        read(&progress(id, 1)).await;
    }
    begins_anew("1-299").await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_kept_is_an_error_to_who_comes_back_for_it() {
    let (_server, client) = start(Mode::Session).await;
    let session = client.begin().await;
    let mut big = tool(7, "big", json!({"bytes": 1_100_000}));
    big["params"]["_meta"] = json!({"progressToken": "t"});
    let mut events = session.stream(&big).await;
    assert_eq!(events.next().await.unwrap()["params"]["progress"], 0);
    let answer = events.next().await.unwrap();
    assert_eq!(crate::client::text_of(&answer).len(), 1_100_000);
    let mut again = after(&session, "1-1").listen().await;
    let error = again.next().await.unwrap();
    assert_eq!(
        (&error["id"], &error["error"]["data"]["kind"]),
        (&json!(7), &json!("answer_lost"))
    );
    assert!(again.next().await.is_none());
}

#[tokio::test]
async fn what_streams_keep_is_counted_and_free_at_the_end_of_their_session() {
    let (server, client) = start(Mode::Shared).await;
    let held = async || stats(server.admin_address()).await["replay_bytes"].clone();
    let session = client.begin().await;
    let mut events = session.stream(&progress(1, 20)).await;
    while events.next().await.is_some() {}
    assert!(held().await.as_u64().unwrap() > 2000);
    drop(events);
    session.send(hyper::Method::DELETE, "").await;
    // The stream may be read for a moment longer.
    let begun = std::time::Instant::now();
    while held().await != 0 {
        assert!(begun.elapsed() < crate::fixture::PATIENCE);
    }
}
