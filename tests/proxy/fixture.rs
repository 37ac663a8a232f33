//! A proxy under test in front of a scripted child, and a look at the processes of this machine.

use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use plunge::proxy::{HttpUpstream, Mode, ServeOptions, Server, Upstream};
use plunge::transport::Command;
use serde_json::Value;

use crate::client::Client;

/// Every mode.
pub const MODES: [Mode; 5] = [
    Mode::Session,
    Mode::Exclusive,
    Mode::Shared,
    Mode::Stateless,
    Mode::Oneshot,
];
/// What no test waits longer for.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn script(marker: &str, flags: &[&str]) -> Command {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    Command::new(python())
        .arg(path)
        .args(flags)
        .arg(marker)
        .eof_grace(Duration::from_millis(500))
        .term_grace(Duration::from_millis(500))
}

/// What [`answering`] begins with.
const ANSWERING: &str = r#"
import json, sys
kept = []

def say(message):
    print(json.dumps(message), flush=True)

def hello(version):
    return {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "answering", "version": "1"}}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    method, answer = message["method"], {"jsonrpc": "2.0", "id": message["id"]}
"#;

/// A server that does this in python for each request `message`, with the beginning of an `answer` to `say`.
pub fn answering(body: &str, argument: &str) -> Command {
    let script = format!("{ANSWERING}{body}");
    Command::new(python()).args(["-c", &script, argument])
}

/// The interpreter itself: a wrapper of that name would start several processes for each child.
pub fn python() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let ask = ["-c", "import sys; print(sys.executable, end='')"];
        let asked = std::process::Command::new("python3")
            .args(ask)
            .output()
            .expect("python3 is installed");
        String::from_utf8(asked.stdout).unwrap()
    })
}

/// A name for the children of one test.
pub fn marker(test: &str) -> String {
    format!("plunge-test-{test}-{}", std::process::id())
}

pub fn options(command: Command, mode: Mode) -> ServeOptions {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    ServeOptions {
        listen: any,
        admin: any,
        connect_timeout: Duration::from_secs(10),
        ..ServeOptions::new(Upstream::Stdio(command), mode)
    }
}

/// The options of a proxy before a server over HTTP.
pub fn http_options(upstream: SocketAddr, mode: Mode) -> ServeOptions {
    let upstream = HttpUpstream::parse(&format!("http://{upstream}/mcp")).unwrap();
    ServeOptions {
        upstream: Upstream::Http(upstream),
        ..options(Command::new("none"), mode)
    }
}

pub async fn start(mode: Mode) -> (Server, Client) {
    start_with(options(script("plunge-test", &[]), mode)).await
}

pub async fn start_with(options: ServeOptions) -> (Server, Client) {
    let server = Server::start(options).await.expect("the proxy starts");
    let client = Client::new(server.mcp_address());
    (server, client)
}

/// The processes whose command line holds the marker.
pub fn processes(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line)
            .split('\0')
            .any(|word| word == marker)
        {
            found.push(pid);
        }
    }
    found
}

/// The descriptors that a process has open.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Waits until something is so, and says what was not.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await; // between two looks
    }
}

/// The figures of a proxy.
pub async fn stats(admin: SocketAddr) -> Value {
    let reply = Client::new(admin)
        .open(Method::GET, "/stats", Bytes::new())
        .await;
    assert_eq!(reply.status(), 200);
    serde_json::from_slice(&reply.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Waits until the figures of a proxy are so.
pub async fn figures(server: &Server, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let figures = stats(server.admin_address()).await;
        if so(&figures) {
            return figures;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {figures}");
    }
}

/// Waits until so many requests are with the children.
pub async fn in_flight(server: &Server, count: u64) {
    let begun = std::time::Instant::now();
    loop {
        let figures = stats(server.admin_address()).await;
        let children = ["children", "stateless_children"]
            .iter()
            .filter_map(|kind| figures[kind].as_array())
            .flatten();
        if children
            .map(|child| child["in_flight"].as_u64().unwrap())
            .sum::<u64>()
            == count
        {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{count} in flight: {figures}");
    }
}
