//! Operating plain HTTP: its log, its figures, its readiness, its limits at a reload.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::{Config, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::Client;
use crate::configuration::{ANY, scripted};
use crate::fixture::{eventually, marker, stats};
use crate::side_by_side::{get, http, plain};

async fn open(text: &str) -> Server {
    let config = Config::parse(text).expect("no mistakes");
    Server::open(config).await.expect("it starts")
}

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The lines of an access log, once two are there.
async fn two_lines(path: &Path) -> Vec<Value> {
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    eventually("both are written", || lines().len() == 2).await;
    let found = lines();
    let _ = fs::remove_file(path);
    found
}

/// Whether a line says this, among other things.
fn says(line: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}");
    }
}

/// Whether these are the lines of one that was answered, in a known trace, and one that went nowhere.
fn are_logged(lines: &[Value]) {
    // A line is written after its answer: its client may have asked again by then, and that line be written first.
    let (answered, lost): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["status"] == 200);
    let ([answered], [lost]) = (&answered[..], &lost[..]) else {
        panic!("one each: {lines:?}");
    };
    let first = json!({
        "method": "GET", "path": "/site/x", "status": 200, "bytes": 5, "upstream": "site",
        "trace": "0af7651916cd43dd8448eb211c80319c",
    });
    says(answered, &first);
    let times = ["total_ms", "head_ms"].map(|name| answered[name].as_f64());
    assert!(times[0] >= times[1], "{answered}");
    says(lost, &json!({"status": 404, "upstream": null}));
    assert!(lost["bytes"].as_u64() > Some(0), "{lost}");
}

#[tokio::test]
async fn each_request_of_plain_http_is_a_line_of_the_access_log() {
    let path = std::env::temp_dir().join(format!("{}.log", marker("plain-access")));
    let log = format!("[log]\naccess = {:?}\n", path.to_str().unwrap());
    let site = http("site", "/site", plain("hello").await);
    let server = open(&format!("{ANY}{log}{site}")).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let client = Client::new(server.mcp_address()).with("traceparent", parent);
    for path in ["/site/x?secret=1", "/nowhere"] {
        let reply = client.open(Method::GET, path, Bytes::new()).await;
        reply.into_body().collect().await.unwrap();
    }
    are_logged(&two_lines(&path).await);
}

#[tokio::test]
async fn each_request_of_plain_http_in_h2_is_a_line_of_the_access_log() {
    let path = std::env::temp_dir().join(format!("{}.log", marker("plain-access-h2")));
    let log = format!("[log]\naccess = {:?}\n", path.to_str().unwrap());
    let site = http("site", "/site", plain("hello").await);
    let listen = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let server = open(&format!("admin = \"127.0.0.1:0\"\n{listen}{log}{site}")).await;
    let address = server.http_address().unwrap();
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let handshake = http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    for path in ["/site/x?secret=1", "/nowhere"] {
        let request = Request::get(format!("http://{address}{path}"))
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .body(Empty::new());
        let reply = sender.send_request(request.unwrap()).await.unwrap();
        reply.into_body().collect().await.unwrap();
    }
    let lines = two_lines(&path).await;
    are_logged(&lines);
    assert_eq!(lines[0]["host"], address.to_string());
}

#[tokio::test]
async fn what_is_refused_before_an_upstream_in_h2_is_in_the_log_as_it_was_asked() {
    let path = std::env::temp_dir().join(format!("{}.log", marker("plain-access-refused")));
    let log = format!("[log]\naccess = {:?}\n", path.to_str().unwrap());
    let site = format!("{}h2 = true\n", http("site", "/site", nowhere().await));
    let listen = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let server = open(&format!("admin = \"127.0.0.1:0\"\n{listen}{log}{site}")).await;
    let mut stream = TcpStream::connect(server.http_address().unwrap())
        .await
        .unwrap();
    let asked =
        b"GET /site/x HTTP/1.1\r\nhost: a\r\n\r\nPUT /nowhere?y HTTP/1.1\r\nhost: b\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let lines = two_lines(&path).await;
    assert_eq!(lines[0]["path"], "/site/x");
    let expected = json!({"method": "PUT", "path": "/nowhere", "host": "b", "status": 404});
    says(&lines[1], &expected);
}

#[tokio::test]
async fn answers_and_times_are_counted_by_upstream() {
    let (site, gone) = (plain("hello").await, nowhere().await);
    let server = open(&format!(
        "{ANY}{}{}",
        http("site", "/", site),
        http("gone", "/gone", gone)
    ))
    .await;
    let address = server.mcp_address();
    for _ in 0..3 {
        assert_eq!(get(address, "/").await.0, 200);
    }
    assert_eq!(get(address, "/gone").await.0, 502);
    let figures = stats(server.admin_address()).await;
    let of = |name: &str| {
        let upstreams = figures["upstreams"].as_array().unwrap();
        let found = upstreams.iter().find(|upstream| upstream["name"] == name);
        found.unwrap().clone()
    };
    let (one, other) = (of("site"), of("gone"));
    assert_eq!(
        (&one["replies"]["2xx"], &one["sent_bytes"]),
        (&json!(3), &json!(15))
    );
    assert_eq!(other["replies"]["5xx"], 1);
    let counted = |upstream: &Value| -> u64 {
        let buckets = upstream["times"]["buckets"].as_array().unwrap();
        buckets
            .iter()
            .map(|bucket| bucket[1].as_u64().unwrap())
            .sum()
    };
    assert_eq!((counted(&one), counted(&other)), (3, 1));
    let (_, metrics) = get(server.admin_address(), "/metrics").await;
    for line in [
        "plunge_http_upstream_answers_total{upstream=\"site\",class=\"2xx\"} 3",
        "plunge_http_upstream_answers_total{upstream=\"gone\",class=\"5xx\"} 1",
        "plunge_http_upstream_seconds_count{upstream=\"site\"} 3",
        "plunge_http_upstream_seconds_bucket{upstream=\"site\",le=\"+Inf\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn readiness_knows_of_an_address_where_nobody_listens_before_a_request_does() {
    let gone = nowhere().await;
    let server = open(&format!("{ANY}{}", http("gone", "/", gone))).await;
    let admin = server.admin_address();
    let ready = || async move { get(admin, "/readyz").await };
    let until = |wanted: u16| async move {
        let begun = std::time::Instant::now();
        loop {
            let (status, text) = ready().await;
            if status == wanted {
                return text;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{status} {text}");
            tokio::task::yield_now().await;
        }
    };
    let text = until(503).await;
    assert!(
        text.contains(&format!("http://{gone}/ cannot be reached")),
        "{text}"
    );
    let _back = TcpListener::bind(gone).await.unwrap();
    until(200).await;
}

#[tokio::test]
async fn limits_of_plain_http_follow_a_reload() {
    let site = http("site", "/", plain("hello").await);
    let with = |limits: &str| Config::parse(&format!("{ANY}[http]\n{limits}\n{site}")).unwrap();
    let server = Server::open(with("max_head_bytes = 300")).await.unwrap();
    let address = server.mcp_address();
    let long = format!("/{}", "x".repeat(400));
    assert_eq!(get(address, &long).await.0, 431);
    let reloaded = server
        .reload(with(
            "max_head_bytes = 3000\nmax_clients = 2\nmax_connections = 3",
        ))
        .await
        .unwrap();
    assert!(reloaded.later.is_empty(), "{reloaded:?}");
    assert_eq!(get(address, &long).await.0, 200);
    let reloaded = server
        .reload(with("workers = 7\nlisten = \"127.0.0.1:1\""))
        .await
        .unwrap();
    assert_eq!(
        reloaded.later,
        ["http.listen", "http.workers and http.pin_workers"]
    );
    assert_eq!(get(address, "/").await.0, 200);
}

#[tokio::test]
async fn a_file_of_plain_http_alone_listens_for_nothing_else() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "listen = \"{}\"\nadmin = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n{}",
        taken.local_addr().unwrap(),
        http("site", "/", plain("hello").await)
    );
    let server = open(&text).await;
    assert_eq!(server.http_address(), Some(server.mcp_address()));
    assert_eq!(get(server.mcp_address(), "/").await, (200, "hello".into()));
    let report = server.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.cut, 0);
}

#[tokio::test]
async fn an_address_has_as_long_as_a_request_gives_it_to_take_a_connection() {
    // Nobody takes connections, and there is no more room for those that wait.
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    let site = http("slow", "/", address);
    let server = open(&format!("{ANY}{site}connect_timeout = \"300ms\"\n")).await;
    let begun = std::time::Instant::now();
    let text = loop {
        let (status, text) = get(server.admin_address(), "/readyz").await;
        if status == 503 {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
    };
    assert!(text.contains("no answer within 300ms"), "{text}");
}

#[tokio::test]
async fn what_is_taken_out_of_the_file_serves_no_more_where_it_was_the_last() {
    let mcp = scripted("beside", "/mcp", "");
    let apart = "[http]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let site = http("site", "/", plain("hello").await);
    let config = |text: &str| Config::parse(text).expect("no mistakes");
    let server = open(&format!("{ANY}{apart}{mcp}{site}")).await;
    let address = server.http_address().unwrap();
    assert_ne!(address, server.mcp_address());
    assert_eq!(get(address, "/").await, (200, "hello".into()));
    let without = config(&format!("{ANY}{mcp}"));
    server.reload(without).await.unwrap();
    assert_eq!(get(address, "/").await.0, 404);
    let again = config(&format!("{ANY}{apart}{mcp}{site}"));
    server.reload(again).await.unwrap();
    assert_eq!(get(address, "/").await, (200, "hello".into()));
}
