//! Sizes and times that a client cannot go beyond.

use hyper::Method;
use plunge::proxy::Mode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::tool;
use crate::fixture::{PATIENCE, options, script, start_with};

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_below_it_passes() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.max_body_bytes = 300_000;
    let (_server, client) = start_with(options).await;
    let padded = |bytes: usize| tool(1, "echo", json!({"pad": "x".repeat(bytes)})).to_string();
    let reply = client.send(Method::POST, padded(400_000)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (413, "too_large")
    );
    let reply = client.send(Method::POST, padded(290_000)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.len() > 290_000);
}

#[tokio::test]
async fn large_answers_pass_whole() {
    let (_server, client) = start_with(options(script("plunge-test", &[]), Mode::Shared)).await;
    let reply = client.call("big", "big", json!({"bytes": 5_000_000})).await;
    assert_eq!(reply.text().len(), 5_000_000);
}

#[tokio::test]
async fn a_line_over_the_limit_ends_its_child_and_only_that() {
    let command = script("plunge-test", &[]).max_line_bytes(100_000);
    let (_server, client) = start_with(options(command, Mode::Session)).await;
    let session = client.begin().await;
    let reply = session.call(1, "big", json!({"bytes": 200_000})).await;
    assert_eq!(reply.kind(), "child_died");
    assert!(
        reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("longer than the limit")
    );
    assert_eq!(
        client.begin().await.call(1, "echo", json!({})).await.status,
        200
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let mut options = options(script("plunge-test", &[]), Mode::Shared);
    options.request_timeout = std::time::Duration::from_millis(100);
    let (_server, client) = start_with(options).await;
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    let mut stream = tokio::net::TcpStream::connect(client.address)
        .await
        .unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .expect("the end")
        .unwrap();
    assert!(
        text.starts_with("HTTP/1.1 408") && text.contains("slow_body"),
        "{text}"
    );
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused_by_name() {
    let base = || options(script("plunge-test", &[]), Mode::Session);
    type Change = fn(&mut plunge::proxy::ServeOptions);
    let table: [(&str, Change); 4] = [
        ("max_connections", |options| {
            options.max_connections = Some(0)
        }),
        ("min_idle", |options| {
            (options.min_idle, options.max_connections) = (9, Some(3))
        }),
        ("request_timeout", |options| {
            options.request_timeout = std::time::Duration::ZERO
        }),
        ("max_in_flight", |options| options.max_in_flight = 0),
    ];
    for (field, change) in table {
        let mut options = base();
        change(&mut options);
        let error = plunge::proxy::Server::start(options)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(field), "{error}");
    }
}
