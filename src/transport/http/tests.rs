//! Exchanges with a server that is played by hand.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn client() -> (HttpClient, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp?x=1", listener.local_addr().unwrap());
    let client = HttpClient::new(HttpTarget::parse(&url).unwrap(), HttpOptions::default());
    (client.unwrap(), listener)
}

fn request() -> HttpRequest {
    HttpRequest {
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"hello"),
    }
}

/// Reads one request.
async fn read(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "a request");
        seen.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(seen).unwrap()
}

async fn answer(stream: &mut TcpStream, text: &str) {
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(whole.as_bytes()).await.unwrap();
}

async fn exchange(client: &HttpClient) -> Result<Bytes, HttpError> {
    client
        .send(&request())
        .await?
        .into_body()
        .collect(100)
        .await
}

#[test]
fn a_reference_leads_to_its_own_origin_or_nowhere() {
    let base = HttpTarget::parse("http://Host:80/a/sse?x=1").unwrap();
    for (reference, path) in [
        ("/messages/?id=1", "/messages/?id=1"),
        ("messages?id=a:b/../c", "/a/messages?id=a:b/../c"),
        ("?id=1", "/a/sse?id=1"),
        ("../m/./n", "/m/n"),
        ("../../..", "/"),
        ("m/x/..", "/a/m/"),
        ("http://host/m?id=1#there", "/m?id=1"),
        ("HTTP://HOST:80/m", "/m"),
        ("//host/m", "/m"),
    ] {
        let found = base.at(reference).map(|found| found.path().to_owned());
        assert_eq!(found.as_deref(), Ok(path), "{reference}");
    }
    for (reference, error) in [
        ("http://host:81/m", TargetError::Foreign),
        ("http://other/m", TargetError::Foreign),
        ("//other/m", TargetError::Foreign),
        ("http://host@other/m", TargetError::UserInfo),
        ("file:///m", TargetError::NoUrl),
        ("host:80/m", TargetError::NoUrl),
        ("/a b", TargetError::NoUrl),
    ] {
        assert_eq!(base.at(reference).unwrap_err(), error, "{reference}");
    }
    if cfg!(feature = "tls") {
        assert_eq!(base.at("https://host:80/m"), Err(TargetError::Foreign));
    }
}

#[test]
fn a_url_names_host_port_and_path_or_says_what_to_write() {
    let target = HttpTarget::parse("http://[::1]:9/a?b").unwrap();
    assert_eq!(
        (target.host(), target.port(), target.path()),
        ("::1", 9, "/a?b")
    );
    let target = HttpTarget::parse("http://host").unwrap();
    assert_eq!((target.port(), target.path()), (80, "/"));
    let secure = HttpTarget::parse("https://host/mcp").map(|target| target.port());
    let expected = if cfg!(feature = "tls") {
        Ok(443)
    } else {
        Err(TargetError::Https)
    };
    assert_eq!(secure, expected);
    for (url, error) in [
        ("host:80", TargetError::NoUrl),
        ("/mcp", TargetError::NoUrl),
        ("", TargetError::NoUrl),
        ("http://me:secret@host/", TargetError::UserInfo),
    ] {
        assert_eq!(HttpTarget::parse(url).unwrap_err(), error, "{url}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for text in ["one", "two"] {
            let seen = read(&mut stream).await;
            assert!(seen.starts_with("POST /mcp?x=1 HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains("host: 127.0.0.1:"), "{seen}");
            answer(&mut stream, text).await;
        }
        (stream, listener)
    });
    assert_eq!(exchange(&client).await.unwrap(), "one");
    assert_eq!(exchange(&client).await.unwrap(), "two");
    assert_eq!(client.pool_stats().opened, 1);
    drop(served.await.unwrap());
}

#[tokio::test]
async fn a_dropped_exchange_costs_its_connection() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read(&mut first).await;
        first
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await
            .unwrap();
        assert_eq!(
            first.read(&mut [0; 9]).await.unwrap_or(0),
            0,
            "it is closed"
        );
        let (mut second, _) = listener.accept().await.unwrap();
        read(&mut second).await;
        answer(&mut second, "mine").await;
        (second, listener)
    });
    let mut body = client.send(&request()).await.unwrap().into_body();
    assert_eq!(body.next().await.unwrap().unwrap(), "half");
    drop(body);
    assert_eq!(exchange(&client).await.unwrap(), "mine");
    drop(served.await.unwrap());
}

#[tokio::test]
async fn a_connection_that_died_idle_carries_nothing() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read(&mut first).await;
        answer(&mut first, "one").await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        read(&mut second).await;
        answer(&mut second, "two").await;
        (second, listener)
    });
    assert_eq!(exchange(&client).await.unwrap(), "one");
    while client.pool_stats().found_dead == 0 && !served.is_finished() {
        // Until the end of the first one was read here, it cannot be known.
        if let Ok(text) = exchange(&client).await {
            assert_eq!(text, "two");
            break;
        }
    }
    drop(served.await.unwrap());
}

#[tokio::test]
async fn a_server_that_takes_and_closes_is_dialled_once_a_try() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let mut taken = 0;
        while let Ok((stream, _)) = listener.accept().await {
            taken += 1;
            drop(stream);
            if taken == 5 {
                return listener;
            }
        }
        listener
    });
    for tried in 1..=5 {
        exchange(&client).await.unwrap_err();
        assert_eq!(client.pool_stats().opened, tried);
    }
    drop(served.await.unwrap());
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        answer(&mut stream, &"x".repeat(200)).await;
        listener
    });
    let refused = exchange(&client).await.unwrap_err();
    assert!(
        matches!(refused, HttpError::TooLong { limit: 100 }),
        "{refused}"
    );
    drop(served.await.unwrap());
}
