//! What is refused before it reaches a child, and with which status.

use hyper::{Method, StatusCode};
use plunge::proxy::Mode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, initialize, request, tool};
use crate::fixture::{PATIENCE, start};

/// Method, header and its value, status. An empty name: no further header.
const HEADS: &[(&str, &str, &str, u16)] = &[
    ("POST", "content-type", "text/plain", 415),
    ("POST", "accept", "text/html", 406),
    ("POST", "accept", "*/*", 200),
    ("GET", "accept", "application/json", 406),
    ("POST", "mcp-protocol-version", "1999-01-01", 400),
    ("POST", "mcp-protocol-version", "2025-06-18", 200),
    ("POST", "host", "evil.example", 403),
    ("POST", "origin", "http://evil.example", 403),
    ("POST", "origin", "http://localhost:5173", 200),
    ("POST", "mcp-session-id", "unknown", 404),
    ("GET", "mcp-session-id", "unknown", 404),
    ("DELETE", "mcp-session-id", "unknown", 404),
    ("POST", "mcp-session-id", "a b", 400),
    ("GET", "", "", 400),
    ("DELETE", "", "", 400),
    ("PUT", "", "", 405),
    ("OPTIONS", "", "", 405),
];

#[tokio::test]
async fn heads_that_do_not_fit_get_their_status() {
    let (_server, client) = start(Mode::Shared).await;
    let ping = request(1, "ping", json!({})).to_string();
    for &(method, name, value, status) in HEADS {
        let mut client = client.clone();
        client
            .extra
            .extend((!name.is_empty()).then(|| (name, value.to_owned())));
        let body = if method == "POST" {
            ping.clone()
        } else {
            String::new()
        };
        let reply = client.send(method.parse().unwrap(), body).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{method} {name}: {value}: {reply:?}"
        );
        if status >= 400 {
            assert!(reply.json()["error"]["message"].is_string());
        }
    }
    let other = client.open(Method::POST, "/other", ping.into()).await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        client.send(Method::PUT, "").await.headers["allow"],
        "POST, GET, DELETE"
    );
}

#[tokio::test]
async fn a_session_that_is_not_there_is_told_to_who_sends_a_long_message_too() {
    let (_server, mut client) = start(Mode::Session).await;
    client.session = Some("unknown".to_owned());
    let long = tool(1, "echo", json!({"text": "x".repeat(8 << 20)}));
    let reply = client.post(&long).await;
    assert_eq!(
        (reply.status.as_u16(), reply.kind().as_str()),
        (404, "session_ended")
    );
    assert_eq!(reply.json()["id"], 1);
    let path = "/messages?session_id=unknown";
    let old = client.open(Method::POST, path, long.to_string().into());
    assert_eq!(old.await.status(), 404);
}

#[tokio::test]
async fn bodies_that_are_no_message_get_400_and_a_typed_error() {
    let (_server, client) = start(Mode::Shared).await;
    let table = [
        ("", -32700),
        ("nonsense", -32700),
        ("{\"jsonrpc\":\"2.0\"", -32700),
        ("{} {}", -32700),
        ("{}", -32600),
        ("3", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        ("[]", -32600),
    ];
    for (body, code) in table {
        let reply = client.send(Method::POST, body).await;
        assert_eq!(
            (
                reply.status.as_u16(),
                reply.json()["error"]["code"].as_i64()
            ),
            (400, Some(code)),
            "{body}"
        );
        assert!(reply.json()["id"].is_null());
    }
    let reply = client
        .send(
            Method::POST,
            &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"[..],
        )
        .await;
    assert_eq!(reply.json()["error"]["code"], -32700);
}

#[tokio::test]
async fn in_session_mode_a_request_needs_a_session_and_initialize_none() {
    let (_server, client) = start(Mode::Session).await;
    let reply = client.post(&request(1, "ping", json!({}))).await;
    assert_eq!(
        (reply.status.as_u16(), reply.json()["id"].as_i64()),
        (400, Some(1))
    );
    let reply = client
        .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .await;
    assert_eq!(reply.status, 400);
    let session = client.begin().await;
    assert_eq!(session.post(&initialize("2025-11-25")).await.status, 400);
    assert_eq!(
        session.post(&request(1, "ping", json!({}))).await.status,
        200
    );
}

async fn raw(client: &Client, head: &str) -> String {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    // A refused head is not read to its end, so the connection may be reset: what came before counts.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the end of the connection");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn hostile_heads_are_refused_and_the_next_request_is_served() {
    let (_server, client) = start(Mode::Shared).await;
    let long = "x".repeat(100_000);
    let table = [
        ("POST /mcp HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("POST /mcp HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(), "400"),
        ("POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc".to_owned(), "400"),
        (format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), "431"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ];
    for (head, status) in table {
        let reply = raw(&client, &head).await;
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status}")),
            "{}: {reply}",
            &head[..head.len().min(60)]
        );
        assert_eq!(
            client.post(&request(1, "ping", json!({}))).await.status,
            200
        );
    }
}

#[tokio::test]
async fn the_admin_pages_tell_the_truth_to_known_hosts_only() {
    let (server, _client) = start(Mode::Shared).await;
    let admin = Client::new(server.admin_address());
    for page in ["/", "/healthz", "/readyz", "/stats"] {
        let reply = admin.open(Method::GET, page, Default::default()).await;
        assert_eq!(reply.status(), 200, "{page}");
    }
    let mut hostile = admin.clone();
    hostile.extra.push(("host", "evil.example".to_owned()));
    let reply = hostile
        .open(Method::GET, "/stats", Default::default())
        .await;
    assert_eq!(reply.status(), 403);
}

#[tokio::test]
async fn a_client_of_the_next_revision_is_told_what_is_spoken_and_falls_back() {
    let (_server, mut client) = start(Mode::Shared).await;
    client
        .extra
        .push(("mcp-protocol-version", "2027-07-28".to_owned()));
    let probe = crate::client::request("probe", "server/discover", json!({}));
    let refused = client.post(&probe).await;
    let error = &refused.json()["error"];
    assert_eq!(
        (
            refused.status.as_u16(),
            &error["code"],
            &refused.json()["id"]
        ),
        (400, &json!(-32022), &json!("probe"))
    );
    assert_eq!(error["data"]["supported"][1], "2025-11-25");
    client.extra.clear();
    assert!(client.begin().await.session.is_some());
}
