//! An MCP server over HTTP that is played by a test: it sees requests as they are, and answers as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
    /// How many of this HTTP method came before.
    pub nth: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The JSON-RPC method.
    pub fn asks(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// The answer of a server of the revision without sessions to `server/discover`.
    pub fn discovered(&self, capabilities: Value) -> Act {
        let versions = ["2026-07-28"];
        let said = json!({"resultType": "complete", "supportedVersions": versions, "capabilities": capabilities});
        Act::json(self.result(said))
    }

    /// An answer to it.
    pub fn result(&self, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result})
    }
}

/// What the server does with a request.
pub enum Act {
    /// A status, a header and a body.
    Say(u16, &'static str, String),
    /// Events as they are written, and then the end of the connection, or none.
    Stream(String, bool),
    /// Events as they are fed, and then the end of the connection.
    Fed(UnboundedReceiver<String>),
    /// A status, and a body that never ends.
    Endless(u16),
    /// The end of the connection without a word.
    Drop,
    /// Nothing, until the client leaves.
    Silence,
    /// The same, as soon as there is a permit for it.
    After(Arc<Semaphore>, Box<Act>),
}

impl Act {
    pub fn json(message: Value) -> Self {
        Self::Say(200, "content-type: application/json", message.to_string())
    }

    pub fn status(status: u16) -> Self {
        Self::Say(status, "x-none: none", String::new())
    }
}

/// A message as an event.
pub fn message(data: &Value) -> String {
    format!("data: {data}\n\n")
}

type Play = dyn Fn(&Seen) -> Option<Act> + Send + Sync;

/// The server; it ends with its drop.
pub struct Stage {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    cuts: tokio::sync::watch::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Stage {
    /// Plays what the closure says, and [`usual`] where that says nothing.
    pub async fn open(play: impl Fn(&Seen) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self::open_at(([127, 0, 0, 1], 0).into(), play).await
    }

    pub async fn open_at(
        address: SocketAddr,
        play: impl Fn(&Seen) -> Option<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (play, kept): (Arc<Play>, _) = (Arc::new(play), seen.clone());
        let (cuts, mut cut) = tokio::sync::watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    _ = cut.changed() => connections = JoinSet::new(),
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => drop(connections.spawn(serve(stream, play.clone(), kept.clone()))),
                        Err(_) => return,
                    },
                }
            }
        });
        Self {
            address,
            seen,
            cuts,
            _tasks: tasks,
        }
    }

    /// Ends every connection at once, as a server that restarts does.
    pub fn cut(&self) {
        self.cuts.send_replace(());
    }

    /// Forgets what was seen so far.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// The requests so far that this holds for.
    pub fn seen(&self, which: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| which(seen)).cloned().collect()
    }
}

/// What a plain server with sessions does.
pub fn usual(seen: &Seen) -> Act {
    match (seen.method.as_str(), seen.asks()) {
        ("POST", "initialize") => {
            let result = json!({"protocolVersion": seen.body["params"]["protocolVersion"], "capabilities": {"tools": {}},
                                "serverInfo": {"name": "played", "version": "1"}});
            let head = "content-type: application/json\r\nmcp-session-id: ";
            let head: &'static str = format!("{head}s-{}", seen.nth).leak();
            Act::Say(200, head, seen.result(result).to_string())
        }
        ("POST", "server/discover") => Act::status(400),
        ("POST", "tools/call") => {
            let text = json!([{"type": "text", "text": "called"}]);
            Act::json(seen.result(json!({"content": text})))
        }
        ("POST", _) if seen.body.get("id").is_some() && seen.body.get("method").is_some() => {
            Act::json(seen.result(json!({})))
        }
        ("POST", _) => Act::status(202),
        ("GET", _) => Act::status(405),
        _ => Act::status(200),
    }
}

async fn serve(mut stream: TcpStream, play: Arc<Play>, kept: Arc<Mutex<Vec<Seen>>>) {
    let mut buffer = Vec::new();
    while let Some(mut seen) = read(&mut stream, &mut buffer).await {
        {
            let mut kept = kept.lock().unwrap();
            seen.nth = kept
                .iter()
                .filter(|other| other.method == seen.method)
                .count();
            kept.push(seen.clone());
        }
        let mut act = play(&seen).unwrap_or_else(|| usual(&seen));
        while let Act::After(permits, then) = act {
            permits.acquire().await.unwrap().forget();
            act = *then;
        }
        match act {
            Act::Drop | Act::After(..) => return,
            Act::Silence => {
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Act::Say(status, header, body) => {
                let length = body.len();
                let whole = format!(
                    "HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                if stream.write_all(whole.as_bytes()).await.is_err() {
                    return;
                }
            }
            Act::Endless(status) => {
                let head = format!("HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Act::Stream(events, ends) => {
                let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n";
                let whole = format!("{head}{events}");
                if stream.write_all(whole.as_bytes()).await.is_err() || ends {
                    return;
                }
                // Until the client leaves.
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Act::Fed(fed) => return feed(stream, fed).await,
        }
    }
}

async fn feed(mut stream: TcpStream, mut fed: UnboundedReceiver<String>) {
    let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    loop {
        let mut left = [0; 1];
        tokio::select! {
            event = fed.recv() => match event {
                Some(event) if stream.write_all(event.as_bytes()).await.is_ok() => {}
                _ => return,
            },
            _ = stream.read(&mut left) => return, // its client left
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let mut lines = head.lines();
            let mut asked = lines.next().unwrap().split(' ').map(str::to_owned);
            let (method, path) = (asked.next().unwrap(), asked.next().unwrap());
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap());
            if buffer.len() >= end + 4 + length {
                let body = serde_json::from_slice(&buffer[end + 4..end + 4 + length]);
                buffer.drain(..end + 4 + length);
                return Some(Seen {
                    method,
                    path,
                    headers,
                    body: body.unwrap_or_default(),
                    nth: 0,
                });
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&piece[..count]),
        }
    }
}
