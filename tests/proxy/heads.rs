//! Arguments that a tool wants to see in the head, and subscriptions beside requests.

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};

use crate::client::{Client, Reply, modern, modern_tool};
use crate::fixture::{options, script, start_with, stats};
use crate::upstream::{Act, Stage};

async fn call(client: &Client, heads: &[(&'static str, &str)], arguments: Value) -> Reply {
    let mut client = client.clone();
    client.extra = heads
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    client
        .post_modern(&modern_tool(1, "routed", arguments))
        .await
}

fn of(mode: Mode, flags: &[&str]) -> ServeOptions {
    options(script("plunge-test", flags), mode)
}

#[tokio::test]
async fn arguments_that_a_tool_wants_in_the_head_have_to_agree_with_it() {
    for mode in [Mode::Stateless, Mode::Session, Mode::Exclusive] {
        let (_server, client) = start_with(of(mode, &["modern", "heads"])).await;
        let all = [
            ("mcp-param-region", "us"),
            ("mcp-param-count", "42.0"),
            ("mcp-param-deep", "true"),
        ];
        let arguments = json!({"region": "us", "count": 42, "inner": {"deep": true}});
        assert_eq!(
            call(&client, &all, arguments.clone()).await.status,
            200,
            "{mode:?}"
        );
        let wrapped = [("mcp-param-region", "=?base64?Z3LDvG4=?=")];
        assert_eq!(
            call(
                &client,
                &wrapped,
                json!({"region": "gr\u{fc}n", "count": null})
            )
            .await
            .status,
            200
        );
        assert_eq!(call(&client, &[], json!({"other": 1})).await.status, 200);
        for (heads, arguments) in [
            (&all[..2], arguments.clone()),
            (&[("mcp-param-region", "eu")][..], json!({"region": "us"})),
            (&[("mcp-param-region", "us")][..], json!({"region": null})),
            (
                &[("mcp-param-region", "=?base64?!?=")][..],
                json!({"region": "!"}),
            ),
            (&[("mcp-param-count", "43")][..], json!({"count": 42})),
            (
                &[("mcp-param-region", "us"), ("mcp-param-region", "us")][..],
                json!({"region": "us"}),
            ),
        ] {
            let reply = call(&client, heads, arguments).await;
            assert_eq!(reply.status, 400, "{mode:?} {heads:?}");
            assert_eq!(reply.json()["error"]["code"], -32020);
        }
        // Two readers could see two calls.
        let whole = modern_tool(1, "routed", json!({"region": "us"}));
        let twice = whole.to_string().replacen(
            r#"{"region":"us"}"#,
            r#"{"region":"us"},"arguments":{"region":"eu"}"#,
            1,
        );
        let headed = client.headed(&whole).with("mcp-param-region", "us");
        assert_eq!(
            headed.send(Method::POST, twice).await.status,
            400,
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_gets_the_heads_that_its_tools_ask_for() {
    let stage = Stage::open(|seen| {
        let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        Some(Act::json(seen.result(match seen.asks() {
            "server/discover" => json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}),
            // On the second page.
            "tools/list" if seen.body["params"]["cursor"].is_null() => json!({"resultType": "complete", "tools": [], "nextCursor": "2"}),
            "tools/list" => json!({"resultType": "complete", "tools": [{"name": "routed", "inputSchema": schema}]}),
            _ => json!({"resultType": "complete", "content": []}),
        })))
    })
    .await;
    let options = crate::fixture::http_options(stage.address, Mode::Stateless);
    let (_server, client) = start_with(options).await;
    let reply = call(
        &client,
        &[
            ("mcp-param-region", "us"),
            ("mcp-param-other", "as it came"),
        ],
        json!({"region": "us"}),
    )
    .await;
    assert_eq!(reply.status, 200);
    let called = stage.seen(|seen| seen.asks() == "tools/call");
    assert_eq!(called[0].header("mcp-param-region"), Some("us"));
    assert_eq!(called[0].header("mcp-param-other"), Some("as it came"));
    assert_eq!(
        call(&client, &[], json!({"region": "us"})).await.status,
        400
    );
}

#[tokio::test]
async fn a_subscription_takes_no_place_of_a_request() {
    let mut options = of(Mode::Stateless, &["modern"]);
    (options.max_connections, options.max_in_flight) = (Some(1), 1);
    let (server, client) = start_with(options).await;
    let mut listening = Vec::new();
    for id in 0..3 {
        let listen = modern(
            id,
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        );
        let mut events = client.stream_modern(&listen).await;
        assert_eq!(
            events.next().await.unwrap()["method"],
            "notifications/subscriptions/acknowledged"
        );
        listening.push(events);
    }
    let reply = client
        .post_modern(&modern_tool(7, "publish", json!({})))
        .await;
    assert_eq!(reply.text(), "published");
    for events in &mut listening {
        assert_eq!(
            events.next().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
    let child = &stats(server.admin_address()).await["children"][0];
    assert_eq!(
        (&child["listening"], &child["in_flight"]),
        (&json!(3), &json!(0))
    );
}

#[tokio::test]
async fn a_server_without_a_handshake_serves_one_request_a_child_and_no_subscriptions() {
    let (_server, client) = start_with(of(Mode::Exclusive, &["modern"])).await;
    assert_eq!(
        client
            .post_modern(&modern_tool(1, "echo", json!({"a": 1})))
            .await
            .text(),
        "{\"a\": 1}"
    );
    let listen = client
        .post_modern(&modern(2, "subscriptions/listen", json!({})))
        .await;
    assert_eq!(
        (listen.status.as_u16(), listen.kind().as_str()),
        (404, "not_offered")
    );
    for flags in [&["strict"], &["mute"]] {
        let mut options = of(Mode::Exclusive, flags);
        options.connect_timeout = std::time::Duration::from_secs(3);
        let (_server, client) = start_with(options).await;
        assert_eq!(
            client.call(1, "echo", json!({"a": 1})).await.text(),
            "{\"a\": 1}",
            "{flags:?}"
        );
    }
}
