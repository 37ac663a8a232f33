//! `exclusive` mode: who is served by children of which handshake, and how those of several share one limit.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};

use crate::client::{Client, initialize, modern_tool, text_of, tool};
use crate::fixture::{
    eventually, figures, in_flight, marker, options, processes, script, start_with, stats,
};
use crate::forwarded::Forwarded;
use crate::remote::quick;
use crate::upstream::{Act, Stage};

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn few(mark: &str, flags: &[&str], children: u32) -> ServeOptions {
    ServeOptions {
        max_connections: Some(children),
        ..options(script(mark, flags), Mode::Exclusive)
    }
}

/// What the child that serves this client agreed on.
async fn revision(client: &Client) -> String {
    client.call(1, "revision", json!({})).await.text()
}

async fn pool(server: &plunge::proxy::Server) -> Value {
    stats(server.admin_address()).await["pool"].take()
}

#[tokio::test]
async fn a_session_is_served_by_children_of_its_own_revision() {
    let (server, client) = start_with(few("plunge-test", &[], 4)).await;
    let mut sessions = Vec::new();
    for revision in REVISIONS {
        sessions.push((revision, client.begin_at(revision).await));
    }
    for _ in 0..3 {
        for (agreed, session) in &sessions {
            assert_eq!(revision(session).await, *agreed);
        }
    }
    assert_eq!(pool(&server).await["opened"], 4, "one for each");
    // Who has no session is of the revision that it names, or of the latest.
    assert_eq!(revision(&client).await, "2025-11-25");
    let named = client.with("mcp-protocol-version", "2025-03-26");
    assert_eq!(revision(&named).await, "2025-03-26");
    let modern = modern_tool(1, "revision", json!({}));
    assert_eq!(client.post_modern(&modern).await.text(), "2025-11-25");
    assert_eq!(pool(&server).await["opened"], 4);
}

#[tokio::test]
async fn so_is_a_client_on_standard_input() {
    for agreed in REVISIONS {
        let mut forwarded = Forwarded::start(few("plunge-test", &[], 2));
        let hello = forwarded.ask(&initialize(agreed)).await;
        assert_eq!(hello["result"]["protocolVersion"], agreed);
        let answer = forwarded.ask(&tool(1, "revision", json!({}))).await;
        assert_eq!(text_of(&answer), agreed);
        forwarded.end().await;
    }
}

#[tokio::test]
async fn what_a_server_agrees_on_is_what_its_clients_are_told_and_served_by() {
    let speaks = few("plunge-test", &["speaks:2025-06-18"], 4);
    let (server, client) = start_with(speaks).await;
    for wanted in REVISIONS {
        let greeted = client.post(&initialize(wanted)).await;
        let agreed = greeted.json()["result"]["protocolVersion"].take();
        assert_eq!(agreed, "2025-06-18", "{wanted}");
        let session = Client {
            session: Some(
                greeted.headers["mcp-session-id"]
                    .to_str()
                    .unwrap()
                    .to_owned(),
            ),
            ..client.clone()
        };
        assert_eq!(revision(&session).await, "2025-06-18", "{wanted}");
    }
    let opened = pool(&server).await["opened"].as_u64().unwrap();
    assert!(opened <= 3, "the latest tells for what is newer: {opened}");
}

#[tokio::test]
async fn a_server_that_refuses_a_revision_is_asked_for_the_latest() {
    let refuses = few("plunge-test", &["refuse:2024-11-05"], 2);
    let (server, client) = start_with(refuses).await;
    let greeted = client.post(&initialize("2024-11-05")).await.json();
    assert_eq!(greeted["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(pool(&server).await["connect_failures"], 0);
}

#[tokio::test]
async fn so_is_one_over_http_that_refuses_it_by_its_status() {
    let stage = Stage::open(|seen| {
        let wanted = &seen.body["params"]["protocolVersion"];
        (*wanted == "2024-11-05").then(|| Act::status(400))
    })
    .await;
    let (_server, client) = start_with(quick(&stage, Mode::Exclusive)).await;
    let greeted = client.post(&initialize("2024-11-05")).await.json();
    assert_eq!(greeted["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_session_ends_where_its_server_speaks_its_revision_no_more() {
    let mark = std::env::temp_dir().join(marker("spoken"));
    let spoken = format!("spoken:{}", mark.display());
    let (_server, client) = start_with(few("plunge-test", &[&spoken], 1)).await;
    let session = client.begin_at("2025-11-25").await;
    assert_eq!(revision(&session).await, "2025-11-25");
    // Another release of the server takes its place.
    std::fs::write(&mark, "2025-06-18").unwrap();
    let died = session.call(2, "die", json!({})).await;
    assert_eq!(died.kind(), "child_died");
    let refused = session.call(3, "revision", json!({})).await;
    let told = (refused.status.as_u16(), refused.kind());
    assert_eq!(told, (404, String::from("session_ended")));
    let greeted = client.post(&initialize("2025-11-25")).await.json();
    assert_eq!(greeted["result"]["protocolVersion"], "2025-06-18");
    let session = client.begin_at("2025-06-18").await;
    assert_eq!(revision(&session).await, "2025-06-18");
    std::fs::remove_file(mark).unwrap();
}

#[tokio::test]
async fn a_new_session_meets_no_child_of_the_release_before() {
    let mark = std::env::temp_dir().join(marker("released"));
    let spoken = format!("spoken:{}", mark.display());
    let (server, client) = start_with(few("plunge-test", &[&spoken], 2)).await;
    assert_eq!(revision(&client).await, "2025-11-25");
    let occupied = client.start(tool(1, "sleep", json!({"ms": 300})));
    in_flight(&server, 1).await;
    // Another release of the server is there by the next start, and the child before it is still of use.
    std::fs::write(&mark, "2025-06-18").unwrap();
    assert_eq!(revision(&client).await, "2025-06-18");
    assert_eq!(occupied.await.unwrap().text(), "slept");
    let session = client.begin_at("2025-06-18").await;
    let sleeping = session.start(tool(2, "sleep", json!({"ms": 100})));
    in_flight(&server, 1).await;
    assert_eq!(revision(&session).await, "2025-06-18");
    assert_eq!(sleeping.await.unwrap().text(), "slept");
    std::fs::remove_file(mark).unwrap();
}

#[tokio::test]
async fn an_idle_child_makes_way_for_one_of_another_revision() {
    let mark = marker("makes-way");
    let (server, client) = start_with(few(&mark, &[], 1)).await;
    let sessions = [
        client.begin_at("2025-03-26").await,
        client.begin_at("2025-11-25").await,
    ];
    for _ in 0..3 {
        assert_eq!(revision(&sessions[0]).await, "2025-03-26");
        assert_eq!(revision(&sessions[1]).await, "2025-11-25");
    }
    let pool = pool(&server).await;
    assert_eq!(
        (&pool["open"], &pool["max_connections"]),
        (&json!(1), &json!(1))
    );
    eventually("one is left", || processes(&mark).len() == 1).await;
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn no_revision_keeps_the_children_from_the_others() {
    let mut options = few("plunge-test", &[], 2);
    options.acquire_timeout = Duration::from_secs(20);
    let (server, client) = start_with(options).await;
    let mut callers = Vec::new();
    for agreed in REVISIONS {
        let session = client.begin_at(agreed).await;
        // Those of the latest are there in a crowd that never leaves a child idle.
        let (crowd, calls) = match agreed {
            "2025-11-25" => (6, 30),
            _ => (1, 3),
        };
        for _ in 0..crowd {
            let session = session.clone();
            callers.push(tokio::spawn(async move {
                for _ in 0..calls {
                    assert_eq!(revision(&session).await, agreed);
                }
            }));
        }
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(pool(&server).await["open"].as_u64() <= Some(2));
}

#[tokio::test]
async fn children_are_kept_ready_of_the_revision_that_was_asked_for_last() {
    let (server, client) = start_with(few("plunge-test", &[], 4)).await;
    let idle = async |count: u64| {
        figures(&server, "they are idle", |all| all["pool"]["idle"] == count).await;
    };
    idle(1).await;
    let session = client.begin_at("2025-03-26").await;
    assert_eq!(revision(&session).await, "2025-03-26");
    idle(2).await;
    session.call(2, "die", json!({})).await;
    // The one of the latest, and one that nobody asked for by a call.
    idle(2).await;
    let opened = pool(&server).await["opened"].take();
    assert_eq!(revision(&session).await, "2025-03-26");
    assert_eq!(pool(&server).await["opened"], opened, "it was ready");
}
