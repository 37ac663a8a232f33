//! Clients that send ahead, do not read, say nothing, or end their side early.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::client::{Client, modern_tool, tool};
use crate::fixture::{PATIENCE, in_flight, options, script, start, start_with};

/// A POST as it is written.
fn post(client: &Client, message: &Value) -> String {
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\naccept: {}\r\ncontent-type: application/json\r\n",
        client.address, client.accept
    );
    for (name, value) in &client.extra {
        head += &format!("{name}: {value}\r\n");
    }
    let body = message.to_string();
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

/// The body of the next reply, which says how long it is.
async fn reply(stream: &mut BufReader<TcpStream>) -> Value {
    let read = async {
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().strip_prefix("content-length: ") {
                Some(bytes) => length = bytes.parse().unwrap(),
                None if line == "\r\n" => break,
                None => assert!(!line.is_empty(), "a whole head"),
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    tokio::time::timeout(PATIENCE, read).await.expect("a reply")
}

async fn connect(client: &Client) -> TcpStream {
    TcpStream::connect(client.address).await.unwrap()
}

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_their_order() {
    for mode in [Mode::Shared, Mode::Exclusive, Mode::Stateless] {
        let (_server, client) = start(mode).await;
        let mut together = post(&client, &tool(0, "sleep", json!({"ms": 50})));
        for id in 1..50 {
            together += &post(&client, &tool(id, "echo", json!({"id": id})));
        }
        let mut stream = connect(&client).await;
        stream.write_all(together.as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        for id in 0..50 {
            assert_eq!(reply(&mut stream).await["id"], id, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn who_does_not_read_is_left_out_and_holds_up_nobody() {
    const STEPS: u64 = 40_000;
    for mode in [Mode::Session, Mode::Shared, Mode::Stateless] {
        let one = ServeOptions {
            max_connections: Some(if mode == Mode::Session { 4 } else { 1 }),
            ..options(script("plunge-test", &[]), mode)
        };
        let (_server, client) = start_with(one).await;
        let client = client.begin().await;
        let mut flood = tool(1, "progress", json!({"steps": STEPS}));
        flood["params"]["_meta"] = json!({"progressToken": "x".repeat(1000)});
        let mut unread = client.stream(&flood).await;
        // The same child's: it is answered after all that was written.
        assert_eq!(client.call(2, "echo", json!({})).await.text(), "{}");
        let mut told = 0;
        while unread.next().await.unwrap()["id"] != 1 {
            told += 1;
        }
        assert!(told < STEPS / 2, "{mode:?}: {told}");
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_fetched_ahead() {
    let one = ServeOptions {
        max_connections: Some(1),
        ..options(script("plunge-test", &[]), Mode::Shared)
    };
    let (_server, client) = start_with(one).await;
    let mut together = String::new();
    for id in 0..40 {
        together += &post(&client, &tool(id, "count", json!({})));
        together += &post(&client, &tool(id, "big", json!({"bytes": 15 << 20})));
    }
    let mut stream = connect(&client).await;
    stream.write_all(together.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    assert_eq!(reply(&mut stream).await["id"], 0);
    for _ in 0..20 {
        client.call(1, "echo", json!({})).await;
    }
    let counted = client.call(1, "count", json!({})).await.text();
    assert!(["2", "3"].contains(&&*counted), "{counted}");
}

#[tokio::test]
async fn a_thousand_who_say_nothing_hold_up_nobody() {
    let (server, client) = start(Mode::Shared).await;
    let (mut silent, mut half) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        silent.push(connect(&client).await);
        let mut begun = connect(&client).await;
        begun
            .write_all(b"POST /mcp HTTP/1.1\r\nhost:")
            .await
            .unwrap();
        half.push(begun);
    }
    for id in 0..20 {
        assert_eq!(client.call(id, "echo", json!({})).await.text(), "{}");
    }
    let report = server.shutdown(Duration::from_secs(10)).await;
    assert!(report.pool.is_clean(), "{report:?}");
    let mut byte = [0];
    for mut stream in silent.into_iter().chain(half) {
        // What is said last, where there is anything, is of no interest.
        while matches!(stream.read(&mut byte).await, Ok(1)) {}
    }
}

#[tokio::test]
async fn who_ends_its_side_is_taken_for_gone() {
    let modern = options(script("plunge-test", &["modern"]), Mode::Stateless);
    let (server, client) = start_with(modern).await;
    let hang = modern_tool(1, "hang", json!({}));
    let mut stream = connect(&client).await;
    let written = post(&client.headed(&hang), &hang);
    stream.write_all(written.as_bytes()).await.unwrap();
    in_flight(&server, 1).await;
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    let read = tokio::time::timeout(PATIENCE, read).await;
    read.expect("the end of the connection").unwrap();
    assert!(said.is_empty());
    in_flight(&server, 0).await;
    let ask = modern_tool(2, "cancelled", json!({}));
    let told = client.post_modern(&ask).await.text();
    assert!(told.contains("the client went away"), "{told}");
}
