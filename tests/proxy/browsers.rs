//! Pages in browsers that are MCP clients themselves.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::json;

use crate::client::{Client, initialize, tool};
use crate::fixture::{options, script, start_with};

const APP: &str = "https://app.example";

async fn start() -> (Server, Client) {
    let options = ServeOptions {
        allowed_origins: vec![APP.to_owned()],
        ..options(script("plunge-test", &[]), Mode::Session)
    };
    start_with(options).await
}

fn named(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("access-control-allow-origin")
        .map(|origin| origin.to_str().unwrap())
}

/// That a page of the allowed origin may read it.
fn is_readable(headers: &HeaderMap) {
    assert_eq!(named(headers), Some(APP), "{headers:?}");
    assert_eq!(headers["vary"], "Origin");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("Mcp-Session-Id") && exposed.contains("WWW-Authenticate"));
}

/// What a browser asks before a request that may change something.
fn before(client: &Client, origin: &str) -> Client {
    client
        .with("origin", origin)
        .with("access-control-request-method", "POST")
        .with(
            "access-control-request-headers",
            "content-type, mcp-session-id, mcp-param-region, x-other",
        )
}

#[tokio::test]
async fn a_browser_is_told_what_a_page_may_send() {
    let (_server, client) = start().await;
    for path in ["/mcp", "/sse", "/messages", "/.well-known/none"] {
        let asked = before(&client, APP).at(path);
        let reply = asked.send(Method::OPTIONS, "").await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
        is_readable(&reply.headers);
        let said = |name: &str| reply.headers[name].to_str().unwrap().to_owned();
        assert_eq!(said("access-control-allow-methods"), "GET, POST, DELETE");
        assert_eq!(said("access-control-max-age"), "7200");
        let taken = said("access-control-allow-headers");
        for name in [
            "Content-Type",
            "Authorization",
            "Mcp-Session-Id",
            "MCP-Protocol-Version",
            "Last-Event-ID",
            "Mcp-Method",
            "Mcp-Name",
            "mcp-param-region",
        ] {
            assert!(taken.split(", ").any(|taken| taken == name), "{name}");
        }
        assert!(!taken.contains("x-other"), "{taken}");
        assert!(
            !reply
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
}

#[tokio::test]
async fn a_page_reads_answers_streams_and_refusals() {
    let (_server, client) = start().await;
    let page = client.with("origin", APP);
    let greeted = page.post(&initialize("2025-11-25")).await;
    assert_eq!(greeted.status, 200);
    is_readable(&greeted.headers);
    let session = page.begin().await;
    is_readable(&session.listen().await.headers);
    is_readable(
        &session
            .stream(&tool(1, "ask", json!({"id": "q"})))
            .await
            .headers,
    );
    let refusals = [
        page.at("/nowhere").post(&json!({})).await,
        page.post(&json!({})).await,
        page.with("mcp-session-id", "gone")
            .post(&tool(1, "echo", json!({})))
            .await,
        page.send(Method::PUT, "").await,
        page.send(Method::OPTIONS, "").await, // not what a browser asks
    ];
    for (reply, status) in refusals.iter().zip([404, 400, 404, 405, 405]) {
        assert_eq!(reply.status, status, "{reply:?}");
        is_readable(&reply.headers);
    }
}

#[tokio::test]
async fn no_other_origin_is_named_to_a_browser() {
    let (_server, client) = start().await;
    for path in ["/mcp", "/nowhere"] {
        let other = before(&client, "https://evil.example").at(path);
        let reply = other.send(Method::OPTIONS, "").await;
        assert_eq!((reply.status.as_u16(), named(&reply.headers)), (403, None));
        // Let in on loopback, where no configuration names it.
        let local = before(&client, "http://localhost:5173").at(path);
        let reply = local.send(Method::OPTIONS, "").await;
        assert!([404, 405].contains(&reply.status.as_u16()), "{reply:?}");
        assert_eq!(named(&reply.headers), None);
    }
    let reply = client.open(Method::GET, "/mcp", Bytes::new()).await;
    let is_about_pages = |name: &str| name.starts_with("access-control-") || name == "vary";
    let mut names = reply.headers().keys();
    assert!(!names.any(|name| is_about_pages(name.as_str())));
}
