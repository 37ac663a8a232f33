//! MCP servers over HTTP that are down, hang, or hear too late of an end.

use std::sync::Arc;
use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::{Client, modern_tool, tool};
use crate::fixture::{PATIENCE, eventually, start_with, stats};
use crate::remote::{before, quick};
use crate::upstream::{Act, Seen, Stage, usual};

#[tokio::test]
async fn an_upstream_that_is_down_is_a_typed_refusal_until_it_is_up() {
    let stage = Stage::open(|_| None).await;
    let options = quick(&stage, Mode::Shared);
    let address = stage.address;
    drop(stage);
    let (_server, client) = start_with(options).await;
    let reply = client.call(1, "any", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (503, "no_child")
    );
    let stage = Stage::open_at(address, |seen| Some(usual(seen))).await;
    let begun = std::time::Instant::now();
    while client.call(2, "any", json!({})).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE);
    }
    drop(stage);
}

/// A session with an upstream that never answers a call or takes it back; so many calls of it time out soon.
async fn with_one_that_hangs(calls: usize) -> (Stage, Server, Client) {
    let stage = Stage::open(|seen| {
        let hangs = matches!(seen.asks(), "tools/call" | "notifications/cancelled");
        hangs.then_some(Act::Silence)
    })
    .await;
    let options = ServeOptions {
        request_timeout: Duration::from_millis(100),
        max_in_flight: calls,
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    (stage, server, client.begin().await)
}

#[tokio::test]
async fn an_upstream_that_says_nothing_keeps_no_connection_of_a_call_that_timed_out() {
    let (stage, server, session) = with_one_that_hangs(1).await;
    for id in 0..2 {
        let reply = session.call(id, "any", json!({})).await;
        assert_eq!(reply.kind(), "timed_out");
    }
    assert_eq!(stage.seen(|seen| seen.asks() == "tools/call").len(), 2);
    no_connection_is_used(&server).await;
}

pub async fn no_connection_is_used(server: &Server) {
    let begun = std::time::Instant::now();
    loop {
        let figures = stats(server.admin_address()).await;
        if figures["connections_upstream"]["leased"] == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{figures}");
    }
}

#[tokio::test]
async fn more_cancellations_than_an_upstream_is_told_of_give_their_connections_back() {
    // Of 256 at a time.
    const CALLS: usize = 300;
    let (_stage, server, session) = with_one_that_hangs(CALLS).await;
    let calls = (0..CALLS).map(|id| session.start(tool(id, "any", json!({}))));
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().kind(), "timed_out");
    }
    no_connection_is_used(&server).await;
}

#[tokio::test]
async fn a_reply_that_never_ends_is_what_its_head_says() {
    let stage = Stage::open(|seen| match seen.asks() {
        "notifications/initialized" => Some(Act::Endless(202)),
        "tools/call" => Some(Act::Endless(401)),
        _ => None,
    })
    .await;
    let mut options = quick(&stage, Mode::Session);
    options.request_timeout = Duration::from_secs(10);
    let (server, client) = start_with(options).await;
    let session = client.begin().await; // 202
    let reply = session.call(1, "any", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (401, "upstream_refused")
    );
    no_connection_is_used(&server).await;
}

#[tokio::test]
async fn what_an_upstream_took_is_not_waited_for_any_longer() {
    let told = "notifications/initialized";
    let stage = Stage::open(move |seen| (seen.asks() == told).then_some(Act::Endless(202))).await;
    let options = ServeOptions {
        request_timeout: Duration::from_secs(1),
        ..quick(&stage, Mode::Session)
    };
    let (server, client) = start_with(options).await;
    client.begin().await; // 202
    no_connection_is_used(&server).await;
}

#[tokio::test]
async fn a_session_that_turns_out_to_be_of_no_use_is_ended_at_the_upstream() {
    // A server with a handshake; by the second of these it does not say that it knows nothing else.
    for refusal in [400, 500] {
        let stage = Stage::open(move |seen| {
            (seen.asks() == "server/discover").then(|| Act::status(refusal))
        })
        .await;
        let (_server, client) = before(&stage, Mode::Session).await;
        let refused = client.post_modern(&modern_tool(1, "any", json!({}))).await;
        assert!(refused.status.is_client_error() || refused.status.is_server_error());
        let begun = stage.seen(|seen| seen.asks() == "initialize").len();
        assert!(
            begun > 0,
            "clients without a handshake have no use for its session"
        );
        let ended = |seen: &Seen| seen.method == "DELETE";
        eventually("its end", || stage.seen(ended).len() == begun).await;
        assert!(
            stage
                .seen(ended)
                .iter()
                .all(|seen| seen.header("mcp-session-id").is_some())
        );
    }
}

#[tokio::test]
async fn a_shutdown_waits_until_the_upstream_heard_of_the_end_of_every_session() {
    let told = "notifications/initialized";
    let gate = Arc::new(Semaphore::new(0));
    let stage = Stage::open({
        let gate = gate.clone();
        move |seen| {
            let answer = closing(usual(seen));
            Some(match (seen.method.as_str(), seen.asks()) {
                ("DELETE", _) => Act::After(gate.clone(), answer.into()),
                (_, "server/discover") => closing(Act::status(500)),
                // One for clients without sessions is begun, and no more than that.
                (_, asks) if asks == told && seen.header("mcp-session-id") == Some("s-1") => {
                    Act::Silence
                }
                _ => answer,
            })
        }
    })
    .await;
    for has_client in [true, false] {
        stage.forget();
        let (server, client) = before(&stage, Mode::Session).await;
        let waits = client.start_modern(modern_tool(1, "any", json!({})));
        let begun = |seen: &Seen| seen.asks() == told;
        eventually("its session", || stage.seen(begun).len() == 1).await;
        waits.abort();
        if has_client {
            client.begin().await;
        }
        let shutdown = tokio::spawn(server.shutdown(PATIENCE));
        let sessions = 1 + usize::from(has_client);
        let ended = |seen: &Seen| seen.method == "DELETE";
        eventually("their end", || stage.seen(ended).len() == sessions).await;
        assert!(!shutdown.is_finished(), "it is not answered yet");
        gate.add_permits(sessions);
        assert!(shutdown.await.unwrap().pool.is_clean());
    }
}

/// The same answer, and the end of the connection: the next message needs another one.
fn closing(act: Act) -> Act {
    match act {
        Act::Say(status, head, body) => {
            let head = format!("{head}\r\nconnection: close");
            Act::Say(status, head.leak(), body)
        }
        act => act,
    }
}

#[tokio::test]
async fn a_question_that_is_never_answered_keeps_no_connection_for_ever() {
    let stage =
        Stage::open(|seen| (seen.asks() == "server/discover").then_some(Act::Silence)).await;
    let options = ServeOptions {
        max_connections: Some(1),
        connect_timeout: Duration::from_secs(2),
        ..quick(&stage, Mode::Stateless)
    };
    let (server, client) = start_with(options).await;
    assert_eq!(client.call(1, "any", json!({})).await.text(), "called");
    assert_eq!(stage.seen(|seen| seen.asks() == "server/discover").len(), 1);
    no_connection_is_used(&server).await;
}
