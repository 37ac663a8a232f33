//! Revision 2026-07-28: requests that stand for themselves.

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions};
use serde_json::{Value, json};

use crate::client::{Client, initialize, modern, modern_tool, tool};
use crate::fixture::{
    eventually, in_flight, marker, options, processes, script, start, start_with,
};

pub fn stateless(children: u32, flags: &[&str]) -> ServeOptions {
    ServeOptions {
        max_connections: Some(children),
        min_idle: children,
        ..options(script("plunge-test", flags), Mode::Stateless)
    }
}

fn code(reply: &crate::client::Reply) -> (u16, i64) {
    (
        reply.status.as_u16(),
        reply.json()["error"]["code"].as_i64().unwrap(),
    )
}

#[tokio::test]
async fn requests_are_relayed_without_a_session_and_none_is_given_out() {
    let (_server, mut client) = start_with(stateless(1, &["modern"])).await;
    client.session = Some("of-an-older-client".to_owned());
    let found = client
        .post_modern(&modern("d", "server/discover", json!({})))
        .await;
    assert_eq!(
        found.json()["result"]["cacheScope"],
        "public",
        "the server's own answer"
    );
    assert!(!found.headers.contains_key("mcp-session-id"));
    let reply = client
        .post_modern(&modern_tool(7, "echo", json!({"a": 1})))
        .await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["id"]),
        (200, &json!(7))
    );
    assert_eq!(reply.text(), r#"{"a": 1}"#);
    for method in [Method::GET, Method::DELETE] {
        let reply = client
            .headed(&json!({"method": "x"}))
            .send(method, "")
            .await;
        assert_eq!(reply.status, 405);
    }
    let told =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(client.post_modern(&told).await.status, 202);
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(code(&client.post_modern(&answer).await), (400, -32600));
    assert_eq!(
        code(&client.post_modern(&json!([told])).await),
        (400, -32600)
    );
}

#[tokio::test]
async fn headers_and_body_have_to_agree() {
    let (_server, client) = start_with(stateless(1, &["modern"])).await;
    let good = modern_tool(1, "echo", json!({}));
    let without = |name: &str| {
        let mut client = client.headed(&good);
        client.extra.retain(|(header, _)| *header != name);
        client
    };
    for name in ["mcp-method", "mcp-name"] {
        let reply = without(name).post(&good).await;
        assert_eq!(code(&reply), (400, -32020), "{name} is missing");
        assert_eq!(reply.json()["id"], 1);
        let mut other = without(name);
        other.extra.push((name, "other".to_owned()));
        assert_eq!(
            code(&other.post(&good).await),
            (400, -32020),
            "{name} is another"
        );
        let mut twice = client.headed(&good);
        twice.extra.push((name, "other".to_owned()));
        assert_eq!(
            code(&twice.post(&good).await),
            (400, -32020),
            "{name} is there twice"
        );
    }
    let mut without_version = without("mcp-protocol-version");
    assert_eq!(code(&without_version.post(&good).await), (400, -32020));
    without_version
        .extra
        .push(("mcp-protocol-version", "2025-11-25".to_owned()));
    assert_eq!(code(&without_version.post(&good).await), (400, -32020));
    let mut older = good.clone();
    older["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2025-11-25");
    assert_eq!(code(&without_version.post(&older).await), (400, -32022));
    let mut named = modern_tool(1, "ech\u{f6}", json!({}));
    let mut wrapped = without("mcp-name");
    wrapped
        .extra
        .push(("mcp-name", "=?base64?ZWNow7Y=?=".to_owned()));
    let beyond_ascii = wrapped.post(&named).await.json();
    assert_eq!(
        beyond_ascii["error"]["message"], "no such tool",
        "it got through"
    );
    named["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    assert_eq!(code(&wrapped.post(&named).await), (400, -32602));
    named["params"]["_meta"] = json!(null);
    assert_eq!(code(&wrapped.post(&named).await), (400, -32602));
}

#[tokio::test]
async fn errors_have_the_status_that_the_revision_wants() {
    let (_server, client) = start_with(stateless(1, &["modern"])).await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "no/such",
    ] {
        let reply = client.post_modern(&modern(1, method, json!({}))).await;
        assert_eq!(
            (code(&reply), &reply.json()["id"]),
            ((404, -32601), &json!(1)),
            "{method}"
        );
    }
    let needs = client
        .post_modern(&modern_tool(1, "needs", json!({})))
        .await;
    assert_eq!(code(&needs), (400, -32021));
    let unknown = client
        .post_modern(&modern_tool(1, "confirm-not", json!({})))
        .await;
    assert_eq!(code(&unknown), (400, -32602));
}

#[tokio::test]
async fn a_client_that_takes_no_events_cannot_subscribe() {
    for flags in [&["modern"][..], &[]] {
        let (_server, mut client) = start_with(stateless(1, flags)).await;
        client.accept = "application/json";
        let listen = modern(1, "subscriptions/listen", json!({"notifications": {}}));
        let reply = client.post_modern(&listen).await;
        assert_eq!(
            (reply.status.as_u16(), reply.kind().as_str()),
            (406, "not_acceptable"),
            "{flags:?}"
        );
    }
}

#[tokio::test]
async fn what_a_client_carries_back_leads_to_the_child_that_made_it() {
    let (_server, client) = start_with(stateless(3, &["modern"])).await;
    let mut begun = Vec::new();
    for id in 0..12 {
        // One hangs on each child that took it: the least busy one changes.
        client.start_modern(modern_tool(100 + id, "hang", json!({})));
        let reply = client
            .post_modern(&modern_tool(id, "confirm", json!({})))
            .await;
        assert_eq!(reply.json()["result"]["resultType"], "input_required");
        begun.push(reply.json()["result"]["requestState"].clone());
        let task = client
            .post_modern(&modern_tool(id, "task", json!({})))
            .await;
        let task = task.json()["result"]["taskId"].clone();
        let got = client
            .post_modern(&modern(id, "tasks/get", json!({"taskId": task})))
            .await;
        assert_eq!(got.json()["result"]["mine"], true);
    }
    for (id, state) in begun.iter().enumerate() {
        let mut again = modern_tool(50 + id, "confirm", json!({}));
        again["params"]["requestState"] = state.clone();
        again["params"]["inputResponses"] = json!({"sure": id});
        assert_eq!(
            client.post_modern(&again).await.text(),
            json!({"sure": id}).to_string().replace(':', ": ")
        );
    }
}

#[tokio::test]
async fn closing_a_stream_cancels_the_request() {
    for mode in [Mode::Stateless, Mode::Session] {
        let mut options = stateless(1, &["modern"]);
        options.mode = mode;
        let (server, client) = start_with(options).await;
        let mut slow = modern_tool(1, "progress", json!({"steps": 1}));
        slow["params"]["_meta"]["progressToken"] = json!("p");
        client.stream_modern(&slow).await.next().await.unwrap();
        let waiting = {
            let client = client.clone();
            tokio::spawn(
                async move { client.post_modern(&modern_tool(2, "hang", json!({}))).await },
            )
        };
        in_flight(&server, 1).await;
        waiting.abort();
        let begun = std::time::Instant::now();
        loop {
            let told = client
                .post_modern(&modern_tool(3, "cancelled", json!({})))
                .await
                .text();
            if told.contains("the client went away") {
                break;
            }
            assert!(begun.elapsed() < crate::fixture::PATIENCE, "{told}");
        }
    }
}

#[tokio::test]
async fn a_server_with_a_handshake_serves_clients_without_one_where_children_are_shared() {
    for mode in [Mode::Shared, Mode::Stateless, Mode::Exclusive] {
        let (_server, client) = start(mode).await;
        let found = client
            .post_modern(&modern("d", "server/discover", json!({})))
            .await
            .json();
        let result = &found["result"];
        assert_eq!(found["id"], "d");
        assert_eq!(
            result["supportedVersions"],
            json!([
                "2026-07-28",
                "2025-11-25",
                "2025-06-18",
                "2025-03-26",
                "2024-11-05"
            ])
        );
        assert_eq!(
            result["capabilities"],
            json!({"tools": {"listChanged": true}})
        );
        assert_eq!(
            (
                &result["resultType"],
                &result["ttlMs"],
                &result["cacheScope"]
            ),
            (&json!("complete"), &json!(0), &json!("private"))
        );
        let called = client
            .post_modern(&modern_tool(1, "echo", json!({})))
            .await
            .json();
        assert_eq!(
            (&called["result"]["resultType"], &called["id"]),
            (&json!("complete"), &json!(1))
        );
        assert!(called["result"].get("ttlMs").is_none());
        let mut told = modern_tool(4, "progress", json!({"steps": 1}));
        told["params"]["_meta"]["progressToken"] = json!("p");
        told["params"]["_meta"]["traceparent"] = json!("00-1");
        let mut events = client.stream_modern(&told).await;
        let step = events.next().await.unwrap();
        assert_eq!(step["params"]["progressToken"], "p");
        let answer = events.next().await.unwrap();
        assert!(crate::client::text_of(&answer).contains("00-1"), "{answer}");
        let listed = client
            .post_modern(&modern(2, "tools/list", json!({})))
            .await
            .json();
        assert_eq!(
            (&listed["result"]["ttlMs"], &listed["result"]["method"]),
            (&json!(0), &json!("tools/list"))
        );
        let older = client.begin_at("2025-06-18").await;
        assert_eq!(
            older.post(&tool(1, "echo", json!({}))).await.json()["result"].get("resultType"),
            None
        );
    }
}

#[tokio::test]
async fn where_children_belong_to_sessions_a_server_with_a_handshake_is_not_shared() {
    for flags in [&[][..], &["strict"], &["mute"]] {
        let mark = marker("not-shared");
        let mut options = options(script(&mark, flags), Mode::Session);
        options.connect_timeout = std::time::Duration::from_secs(3);
        let (_server, client) = start_with(options).await;
        for _ in 0..2 {
            let reply = refused(&client).await;
            assert_eq!(
                reply["error"]["data"]["supported"][0], "2025-11-25",
                "{flags:?} {reply}"
            );
        }
        eventually("only the child for the next session is left", || {
            processes(&mark).len() == 1
        })
        .await;
        assert_eq!(
            client
                .begin()
                .await
                .post(&tool(1, "echo", json!({})))
                .await
                .status,
            200
        );
    }
}

/// The refusal; a server that does not bear the question is asked again.
async fn refused(client: &Client) -> Value {
    loop {
        let reply = client
            .post_modern(&modern(1, "server/discover", json!({})))
            .await;
        if reply.status != 503 {
            assert_eq!(code(&reply), (400, -32022));
            return reply.json();
        }
    }
}

#[tokio::test]
async fn where_children_belong_to_sessions_a_server_of_both_kinds_serves_both() {
    let mut options = stateless(2, &["modern"]);
    options.mode = Mode::Session;
    let (_server, client) = start_with(options).await;
    let found = client
        .post_modern(&modern(1, "server/discover", json!({})))
        .await;
    assert_eq!(
        found.json()["result"]["supportedVersions"],
        json!(["2026-07-28"])
    );
    let mut begun = modern_tool(1, "confirm", json!({}));
    let state = client.post_modern(&begun).await.json()["result"]["requestState"].clone();
    begun["params"]["requestState"] = state;
    assert_eq!(client.post_modern(&begun).await.text(), "null");
    let legacy = client.post(&initialize("2025-11-25")).await;
    assert_eq!(
        legacy.json()["error"]["code"],
        -32601,
        "the server's own refusal"
    );
}

#[tokio::test]
async fn a_client_with_a_handshake_is_refused_by_name_where_the_server_knows_none() {
    let (_server, client) = start_with(stateless(1, &["modern"])).await;
    let reply = client.post(&initialize("2025-11-25")).await;
    assert_eq!(code(&reply), (400, -32022));
    assert_eq!(
        reply.json()["error"]["data"]["supported"],
        json!(["2026-07-28"])
    );
}

#[tokio::test]
async fn a_state_whose_child_is_at_its_limit_goes_to_no_other() {
    let mut options = stateless(2, &["modern"]);
    options.max_in_flight = 1;
    options.acquire_timeout = std::time::Duration::from_millis(200);
    let (server, client) = start_with(options).await;
    let children = async || crate::fixture::stats(server.admin_address()).await["children"].clone();
    while children().await.as_array().map(Vec::len) != Some(2) {}
    let mut confirm = modern_tool(1, "confirm", json!({}));
    let begun = client.post_modern(&confirm).await.json();
    let hanging = client.start_modern(modern_tool(2, "hang", json!({})));
    crate::fixture::in_flight(&server, 1).await;
    // The other one is there, and free.
    let echoed = client.post_modern(&modern_tool(3, "echo", json!({}))).await;
    assert_eq!(echoed.status, 200);
    confirm["params"]["requestState"] = begun["result"]["requestState"].clone();
    let reply = client.post_modern(&confirm).await;
    assert!(reply.is_busy(), "{reply:?}");
    hanging.abort();
    let _ = hanging.await;
    while client.post_modern(&confirm).await.status == 503 {}
    assert_eq!(client.post_modern(&confirm).await.text(), "null");
}
