//! What operators see: metrics, readiness, the access log, traces, the status page.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use plunge::proxy::{Config, Server};
use serde_json::{Value, json};

use crate::client::{Client, modern};
use crate::configuration::{ANY, scripted};
use crate::fixture::{PATIENCE, marker, start_with, stats};
use crate::subscribing::{agreed, one_child};

async fn open(text: &str) -> Server {
    let config = Config::parse(text).expect("no mistakes");
    Server::open(config).await.expect("it starts")
}

pub async fn page(server: &Server, path: &str) -> (u16, hyper::HeaderMap, String) {
    let client = Client::new(server.admin_address());
    let (head, body) = client
        .open(Method::GET, path, Bytes::new())
        .await
        .into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        head.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

pub fn figure(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("{name} is not in {page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn metrics_count_what_happened_in_the_format_of_prometheus() {
    let one = scripted("metered", "/mcp", "mode = \"shared\"");
    let server = open(&format!(
        "{ANY}{one}{}",
        scripted("quiet", "/quiet", "mode = \"shared\"")
    ))
    .await;
    let client = Client::new(server.mcp_address());
    for (id, tool) in ["noise", "echo", "echo"].into_iter().enumerate() {
        let reply = client.call(id, tool, json!({"message": "x"})).await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(client.send(Method::PUT, "").await.status, 405);
    let (status, headers, text) = page(&server, "/metrics").await;
    assert_eq!(status, 200);
    assert!(
        headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let of = |name: &str| figure(&text, name);
    assert_eq!(
        of("plunge_requests_total{upstream=\"metered\",class=\"2xx\"}"),
        3.0
    );
    assert_eq!(
        of("plunge_requests_total{upstream=\"metered\",class=\"4xx\"}"),
        1.0
    );
    assert_eq!(
        of("plunge_requests_total{upstream=\"quiet\",class=\"2xx\"}"),
        0.0
    );
    assert_eq!(
        of("plunge_request_seconds_count{upstream=\"metered\"}"),
        4.0
    );
    assert_eq!(
        of("plunge_request_seconds_bucket{upstream=\"metered\",le=\"+Inf\"}"),
        4.0
    );
    assert_eq!(of("plunge_requests_in_flight{upstream=\"metered\"}"), 0.0);
    assert_eq!(
        of("plunge_breaker_state{upstream=\"metered\",state=\"closed\"}"),
        1.0
    );
    for (kind, count) in [
        ("no_message", 6.0),
        ("invalid_utf8", 1.0),
        ("unasked_answer", 1.0),
    ] {
        let strays =
            |name| format!("plunge_stray_lines_total{{upstream=\"{name}\",kind=\"{kind}\"}}");
        assert_eq!(of(&strays("metered")), count, "{kind}");
        assert_eq!(of(&strays("quiet")), 0.0);
    }
    assert_eq!(of("plunge_ready"), 1.0);
    assert!(of("plunge_sent_bytes_total{upstream=\"metered\"}") > 100.0);
    check_format(&text);
}

#[tokio::test]
async fn figures_say_who_is_told_of_changes() {
    let (server, client) = start_with(one_child()).await;
    let (one, other) = (client.begin().await, client.begin().await);
    agreed(&one, "subscribe", "a").await;
    agreed(&other, "subscribe", "a").await;
    agreed(&other, "subscribe", "b").await;
    let listen = modern("l", "subscriptions/listen", json!({}));
    let mut events = client.stream_modern(&listen).await;
    assert!(events.next().await.is_some());
    let subscribed = &stats(server.admin_address()).await["subscribed"];
    let expected = json!({"resources": 2, "subscriptions": 3, "untold": 0, "listening": 1});
    assert_eq!(*subscribed, expected);
    let text = page(&server, "/metrics").await.2;
    let figures = [
        ("subscribed_resources", 2.0),
        ("resource_subscriptions", 3.0),
        ("untold_resources", 0.0),
        ("listening", 1.0),
    ];
    for (name, expected) in figures {
        let labelled = format!("plunge_{name}{{upstream=\"mcp\"}}");
        assert_eq!(figure(&text, &labelled), expected, "{name}");
    }
    check_format(&text);
}

/// Each line is a comment or a figure of the family above it, each family is told of once, buckets do not fall.
fn check_format(text: &str) {
    let (mut family, mut families, mut last) = (String::new(), Vec::new(), (String::new(), 0.0));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(!families.contains(&family), "{family} is told of twice");
            families.push(family.clone());
        } else if !line.starts_with("# HELP ") {
            assert!(line.starts_with(&family), "{line} is not of {family}");
            let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            if let Some((labels, _)) = line.split_once(",le=") {
                assert!(last.0 != labels || value >= last.1, "{line} falls");
                last = (labels.to_owned(), value);
            }
        }
    }
    assert!(families.len() > 15);
}

#[tokio::test]
async fn readiness_names_what_is_not_ready_and_needs_one_route_that_is() {
    let dead = "[[upstream]]\nname = \"dead\"\nkind = \"mcp-http\"\npath = \"/dead\"\nurl = \"http://127.0.0.1:1/mcp\"\nmode = \"shared\"\n";
    let server = open(&format!("{ANY}{dead}")).await;
    let (status, _, text) = page(&server, "/readyz").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.starts_with("not ready: "), "{text}");
    let live = scripted("live", "/mcp", "mode = \"shared\"");
    server
        .reload(Config::parse(&format!("{ANY}{dead}{live}")).unwrap())
        .await
        .unwrap();
    let (status, _, text) = page(&server, "/readyz").await;
    assert_eq!(status, 200);
    assert!(
        text.starts_with("ready\n") && text.contains("dead: "),
        "{text}"
    );
}

#[tokio::test]
async fn each_request_is_a_line_of_the_access_log() {
    let path = std::env::temp_dir().join(format!("{}.log", marker("access")));
    let log = format!("[log]\naccess = {:?}\n", path.to_str().unwrap());
    let server = open(&format!(
        "{ANY}{log}{}",
        scripted("logged", "/mcp", "mode = \"shared\"")
    ))
    .await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let client = Client::new(server.mcp_address()).with("traceparent", parent);
    let reply = client.call(1, "echo", json!({"message": "x"})).await;
    client
        .open(Method::GET, "/nowhere?secret=1", Bytes::new())
        .await;
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    server.shutdown(Duration::from_secs(10)).await;
    let lines = lines();
    let _ = fs::remove_file(&path);
    assert_eq!(lines.len(), 2, "both are written by then");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["upstream"], "logged");
    assert_eq!(lines[0]["bytes"], reply.body.len());
    assert_eq!(
        (&lines[0]["method"], &lines[0]["path"]),
        (&json!("POST"), &json!("/mcp"))
    );
    assert_eq!(lines[0]["trace"], "0af7651916cd43dd8448eb211c80319c");
    assert!(lines[0]["total_ms"].as_f64().unwrap() >= lines[0]["head_ms"].as_f64().unwrap());
    assert_eq!(lines[1]["status"], 404);
    assert_eq!(lines[1]["path"], "/nowhere", "no query");
    assert_eq!(lines[1]["upstream"], Value::Null);
}

#[tokio::test]
async fn the_status_page_is_whole_in_itself_and_may_do_nothing_else() {
    let server = open(&format!(
        "{ANY}{}",
        scripted("paged", "/mcp", "mode = \"shared\"")
    ))
    .await;
    let (status, headers, text) = page(&server, "/").await;
    assert_eq!(status, 200);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self'"));
    for outside in [
        "src=",
        "http://",
        "@import",
        "url(",
        "innerHTML",
        "insertAdjacent",
        "document.write",
    ] {
        let found = text
            .replace("http://www.w3.org/2000/svg", "")
            .contains(outside);
        assert!(!found, "{outside} is in the page");
    }
    server.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_was_dropped_of_the_access_log_is_counted_on_after_a_reload() {
    let one = scripted("full-disk", "/mcp", "mode = \"shared\"");
    let text = format!("{ANY}[log]\naccess = \"/dev/full\"\n{one}");
    let server = open(&text).await;
    let client = Client::new(server.mcp_address());
    let dropped = || async {
        let (_, _, text) = page(&server, "/metrics").await;
        figure(&text, "plunge_access_log_dropped_total")
    };
    // What is written together is kept until a kilobyte or eight of it cannot be.
    let long = format!("/{}", "x".repeat(4000));
    let begun = Instant::now();
    while dropped().await < 1.0 {
        assert!(begun.elapsed() < PATIENCE);
        client.open(Method::GET, &long, Bytes::new()).await;
    }
    let before = dropped().await;
    server.reload(Config::parse(&text).unwrap()).await.unwrap();
    assert!(dropped().await >= before);
}

#[tokio::test]
async fn an_end_that_is_announced_is_waited_for_and_everything_is_served_meanwhile() {
    let one = scripted("announced", "/mcp", "");
    let server = open(&format!("drain_delay = \"1h\"\n{ANY}{one}")).await;
    let client = Client::new(server.mcp_address());
    let session = client.begin().await;
    let (mcp, admin) = (server.mcp_address(), server.admin_address());
    let ending = tokio::spawn(server.shutdown(Duration::from_secs(10)));
    let begun = Instant::now();
    let pages = Client::new(admin);
    while pages
        .open(Method::GET, "/readyz", Bytes::new())
        .await
        .status()
        != 503
    {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(session.call(1, "echo", json!({})).await.status, 200);
    let new = Client::new(mcp).begin().await;
    assert_eq!(new.call(2, "echo", json!({})).await.status, 200);
    ending.abort();
}

#[tokio::test]
async fn cores_are_kept_awake_while_requests_come_where_that_may_be_asked_for() {
    let device = "/dev/cpu_dma_latency";
    let may_ask = fs::File::options().write(true).open(device).is_ok();
    let server = open(&format!(
        "keep_awake = true\n{ANY}{}",
        scripted("awake", "/mcp", "mode = \"shared\"")
    ))
    .await;
    let client = Client::new(server.mcp_address());
    let begun = Instant::now();
    loop {
        let echoed = client.call(1, "echo", json!({"message": "x"})).await;
        assert_eq!(echoed.status, 200);
        let figures = stats(server.admin_address()).await;
        if figures["cores_kept_awake"] == may_ask {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{figures}");
    }
    server.shutdown(PATIENCE).await;
    let held = fs::read_dir("/proc/self/fd").expect("the descriptors of this process");
    let held = held.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    assert!(held.into_iter().all(|target| target.as_os_str() != device));
}
