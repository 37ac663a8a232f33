//! A small MCP client for tests: it sees statuses, headers and events as they are.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use plunge::proxy::Mode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::fixture::PATIENCE;

pub const BOTH: &str = "application/json, text/event-stream";

/// One client; one connection a request.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub session: Option<String>,
    pub accept: &'static str,
    pub extra: Vec<(&'static str, String)>,
    /// Where MCP is spoken.
    pub path: &'static str,
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of a tool's result.
    pub fn text(&self) -> String {
        text_of(&self.json())
    }

    /// `data.kind` of an error.
    pub fn kind(&self) -> String {
        self.json()["error"]["data"]["kind"]
            .as_str()
            .unwrap_or_else(|| panic!("no kind: {self:?}"))
            .to_owned()
    }

    /// Whether there is no room for it now, and may be in a second.
    pub fn is_busy(&self) -> bool {
        let later = self.headers.get("retry-after");
        self.status == 503 && self.kind() == "busy" && later.is_some_and(|seconds| seconds == "1")
    }
}

pub fn text_of(message: &Value) -> String {
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {message}"))
        .to_owned()
}

pub fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

pub fn tool(id: impl Into<Value>, name: &str, arguments: Value) -> Value {
    request(
        id,
        "tools/call",
        json!({"name": name, "arguments": arguments}),
    )
}

pub fn initialize(version: &str) -> Value {
    request(
        0,
        "initialize",
        json!({"protocolVersion": version, "capabilities": {"sampling": {}}, "clientInfo": {"name": "test", "version": "1"}}),
    )
}

/// A request as revision 2026-07-28 writes it.
pub fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    request(id, method, params)
}

pub fn modern_tool(id: impl Into<Value>, name: &str, arguments: Value) -> Value {
    modern(
        id,
        "tools/call",
        json!({"name": name, "arguments": arguments}),
    )
}

impl Client {
    /// A client with the headers that revision 2026-07-28 wants for this message.
    pub fn headed(&self, message: &Value) -> Self {
        let mut client = self.clone();
        let mut name = |header, value: &Value| {
            if let Some(value) = value.as_str() {
                client.extra.push((header, value.to_owned()));
            }
        };
        name("mcp-protocol-version", &json!("2026-07-28"));
        name("mcp-method", &message["method"]);
        match message["method"].as_str() {
            Some("resources/read") => name("mcp-name", &message["params"]["uri"]),
            _ => name("mcp-name", &message["params"]["name"]),
        }
        client
    }

    /// Posts a message with those headers.
    pub async fn post_modern(&self, message: &Value) -> Reply {
        self.headed(message).post(message).await
    }

    /// The same, and reads its answer as events.
    pub async fn stream_modern(&self, message: &Value) -> Events {
        self.headed(message).stream(message).await
    }

    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            session: None,
            accept: BOTH,
            extra: Vec::new(),
            path: "/mcp",
        }
    }

    /// The same client at another endpoint.
    pub fn at(&self, path: &'static str) -> Self {
        let client = self.clone();
        Self { path, ..client }
    }

    /// The same client with one more header.
    pub fn with(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.extra.push((name, value.to_owned()));
        client
    }

    /// Begins a session and returns a client in it.
    pub async fn begin(&self) -> Self {
        self.begin_at("2025-11-25").await
    }

    /// The same where the mode has sessions, else itself.
    pub async fn begin_in(&self, mode: Mode) -> Self {
        match mode {
            Mode::Oneshot => self.clone(),
            _ => self.begin().await,
        }
    }

    pub async fn begin_at(&self, version: &str) -> Self {
        let reply = self.post(&initialize(version)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.json()["result"]["protocolVersion"], version);
        let session = reply.headers["mcp-session-id"].to_str().unwrap().to_owned();
        let client = Self {
            session: Some(session),
            ..self.clone()
        };
        let told = client
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!(told.status, 202);
        client
    }

    pub async fn post(&self, message: &Value) -> Reply {
        self.send(Method::POST, message.to_string()).await
    }

    pub async fn call(&self, id: impl Into<Value>, name: &str, arguments: Value) -> Reply {
        self.post(&tool(id, name, arguments)).await
    }

    /// Sends it, and goes on meanwhile.
    pub fn start(&self, message: Value) -> JoinHandle<Reply> {
        let client = self.clone();
        tokio::spawn(async move { client.post(&message).await })
    }

    /// The same in the revision without sessions.
    pub fn start_modern(&self, message: Value) -> JoinHandle<Reply> {
        self.headed(&message).start(message)
    }

    /// A call that its child never answers.
    pub fn hang(&self, id: u32) -> JoinHandle<Reply> {
        self.start(tool(id, "hang", json!({})))
    }

    /// Takes a request back.
    pub async fn cancel(&self, id: u32) -> Reply {
        let named = json!({"requestId": id});
        let cancelled = "notifications/cancelled";
        self.post(&json!({"jsonrpc": "2.0", "method": cancelled, "params": named}))
            .await
    }

    pub async fn send(&self, method: Method, body: impl Into<Bytes>) -> Reply {
        let response = self.open(method, self.path, body.into()).await;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .expect("a body in time")
            .unwrap()
            .to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Sends a message and reads its answer as events.
    pub async fn stream(&self, message: &Value) -> Events {
        Events::of(
            self.open(Method::POST, self.path, message.to_string().into())
                .await,
        )
    }

    /// Opens the session's own stream.
    pub async fn listen(&self) -> Events {
        self.listen_at(self.path).await
    }

    pub async fn listen_at(&self, path: &str) -> Events {
        Events::of(self.open(Method::GET, path, Bytes::new()).await)
    }

    pub async fn open(&self, method: Method, path: &str, body: Bytes) -> hyper::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path);
        let named = |name: &str| self.extra.iter().any(|(extra, _)| *extra == name);
        let own = [
            ("host", self.address.to_string()),
            ("accept", self.accept.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        for (name, value) in own
            .iter()
            .filter(|(name, _)| !named(name))
            .chain(&self.extra)
        {
            request = request.header(*name, value);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = request.body(Full::new(body)).unwrap();
        tokio::time::timeout(PATIENCE, sender.send_request(request))
            .await
            .expect("a reply in time")
            .expect("a reply")
    }
}

/// The fields of one event.
#[derive(Debug)]
pub struct Event {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<String>,
    pub retry: Option<u64>,
}

/// The events of one stream.
pub struct Events {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    buffer: String,
}

impl Events {
    fn of(response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body,
            buffer: String::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let data = self.next_event().await?.data.unwrap_or_default();
            if !data.is_empty() {
                return Some(serde_json::from_str(&data).unwrap());
            }
        }
    }

    /// The next event as it was written, comments left out.
    pub async fn next_event(&mut self) -> Option<Event> {
        // Comments keep a stream, not a test; what is tried eight times takes some ten seconds.
        let until = tokio::time::Instant::now() + 3 * PATIENCE;
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let text: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    text.lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                if text.starts_with(':') {
                    continue;
                }
                return Some(Event {
                    id: field("id: "),
                    event: field("event: "),
                    data: field("data: "),
                    retry: field("retry: ").map(|pause| pause.parse().unwrap()),
                });
            }
            let frame = tokio::time::timeout_at(until, self.body.frame())
                .await
                .expect("an event in time")?;
            let bytes = frame.expect("an unbroken stream").into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
