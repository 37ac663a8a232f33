//! Plain HTTP and MCP from one file.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use plunge::proxy::{Config, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::Client;
use crate::configuration::{ANY, scripted};
use crate::fixture::{eventually, marker, processes, stats};

/// A server that answers every request with this text.
pub async fn plain(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                        head.drain(..end + 4);
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
                            text.len()
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

pub fn http(name: &str, path: &str, upstream: SocketAddr) -> String {
    format!(
        "[[upstream]]\nname = \"{name}\"\nkind = \"http\"\npath = \"{path}\"\nurl = \"http://{upstream}\"\n"
    )
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let reply = Client::new(address)
        .open(Method::GET, path, Bytes::new())
        .await;
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn plain_http_and_mcp_share_a_listener_and_routes_change_under_it() {
    let (one, two) = (plain("one").await, plain("two").await);
    let mcp = scripted("beside", "/mcp", "");
    let text = format!(
        "{ANY}{mcp}{}{}",
        http("site", "/", one),
        http("api", "/api", two)
    );
    let server = Server::open(Config::parse(&text).unwrap()).await.unwrap();
    let address = server.mcp_address();
    assert_eq!(server.http_address(), Some(address));
    let client = Client::new(address).begin().await;
    assert_eq!(
        client.call(1, "echo", json!({"message": "x"})).await.status,
        200
    );
    assert_eq!(get(address, "/").await, (200, "one".into()));
    assert_eq!(get(address, "/api/x").await, (200, "two".into()));
    let figures = stats(server.admin_address()).await;
    let named: Vec<_> = figures["upstreams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|upstream| {
            (
                upstream["name"].as_str().unwrap(),
                upstream["kind"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        named.contains(&("beside", "mcp-stdio")) && named.contains(&("api", "http")),
        "{named:?}"
    );
    assert_eq!(named.len(), 3, "{named:?}");
    let (_, metrics) = get(server.admin_address(), "/metrics").await;
    let line = format!(
        "plunge_http_upstream_requests_total{{upstream=\"api\",address=\"http://{two}/\"}} 1"
    );
    assert!(metrics.contains(&line), "{metrics}");
    let other = scripted("other", "/other", "mode = \"shared\"");
    let changed = format!("{ANY}{mcp}{other}{}", http("site", "/", two));
    server
        .reload(Config::parse(&changed).unwrap())
        .await
        .unwrap();
    assert_eq!(get(address, "/").await, (200, "two".into()));
    assert_eq!(get(address, "/api/x").await, (200, "two".into()));
    assert_eq!(
        client.call(2, "echo", json!({"message": "x"})).await.status,
        200,
        "the session stays"
    );
    assert_eq!(
        Client::new(address)
            .at("/other")
            .call(3, "echo", json!({}))
            .await
            .status,
        200
    );
    server.shutdown(Duration::from_secs(10)).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    for name in ["beside", "other"] {
        eventually("no child is left", || processes(&marker(name)).is_empty()).await;
    }
}

#[tokio::test]
async fn an_address_of_its_own_serves_plain_http_alone() {
    let one = plain("one").await;
    let listen = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{listen}{}",
        http("site", "/", one)
    );
    let server = Server::open(Config::parse(&text).unwrap()).await.unwrap();
    let address = server.http_address().unwrap();
    assert_eq!(get(address, "/x").await, (200, "one".into()));
    let (status, text) = get(server.admin_address(), "/readyz").await;
    assert_eq!((status, &*text), (200, "ready\n"));
}

#[tokio::test]
async fn an_address_in_use_is_told_of_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "{ANY}[http]\nlisten = \"{}\"\n{}",
        taken.local_addr().unwrap(),
        http("site", "/", ([127, 0, 0, 1], 1).into()),
    );
    let refused = Server::open(Config::parse(&text).unwrap())
        .await
        .err()
        .unwrap();
    let text = refused.to_string();
    assert!(
        text.contains("http-listen") && text.contains("another address"),
        "{text}"
    );
}
