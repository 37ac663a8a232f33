//! One client over standard input and output gets what it would get over HTTP.

use plunge::proxy::{HttpUpstream, Mode, ServeOptions, Server, Upstream};
use serde_json::{Value, json};

use crate::client::{Client, initialize, modern, modern_tool, request, tool};
use crate::fixture::{PATIENCE, http_options, in_flight, options, script, start_with};
use crate::forwarded::Forwarded;

/// A client over HTTP that keeps its session.
struct Served {
    client: Client,
    _servers: [Option<Server>; 3],
}

impl Served {
    async fn ask(&mut self, message: &Value) -> Value {
        let is_modern =
            message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let reply = if is_modern {
            self.client.post_modern(message).await
        } else {
            self.client.post(message).await
        };
        if let Some(session) = reply.headers.get("mcp-session-id") {
            self.client.session = Some(session.to_str().unwrap().to_owned());
        }
        reply.json()
    }
}

/// What is behind a front.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Child,
    /// The same children behind a server over HTTP, which is another proxy.
    Http,
    /// The same over its transport of 2024-11-05, which knows revisions with a handshake alone.
    OldHttp,
}

const BEHIND: [Behind; 2] = [Behind::Child, Behind::Http];
const WITH_HANDSHAKE: [Behind; 3] = [Behind::Child, Behind::Http, Behind::OldHttp];

/// The options of a front, and what has to run behind it.
async fn behind(what: Behind, mode: Mode, flags: &[&str]) -> (ServeOptions, Option<Server>) {
    let direct = options(script("plunge-test", flags), mode);
    let (options, server) = match what {
        Behind::Child => (direct, None),
        Behind::Http | Behind::OldHttp => {
            let children = options(script("plunge-test", flags), Mode::Session);
            let (server, _) = start_with(children).await;
            let mut options = http_options(server.mcp_address(), mode);
            if let Behind::OldHttp = what {
                let url = format!("http://{}/sse", server.mcp_address());
                options.upstream = Upstream::Http(HttpUpstream::parse(&url).unwrap());
            }
            (options, Some(server))
        }
    };
    // What one of several has counted is told by none of the others.
    let max_connections = (mode == Mode::Exclusive).then_some(1);
    let options = ServeOptions {
        max_connections,
        ..options
    };
    (options, server)
}

async fn fronts(what: Behind, mode: Mode, flags: &[&str]) -> (Served, Forwarded) {
    let (options, behind_served) = behind(what, mode, flags).await;
    let (server, mut client) = start_with(options).await;
    client.accept = "application/json";
    let (options, behind_forwarded) = behind(what, mode, flags).await;
    let forwarded = Forwarded::start(options);
    (
        Served {
            client,
            _servers: [Some(server), behind_served, behind_forwarded],
        },
        forwarded,
    )
}

/// What differs between two processes.
fn normal(mut answer: Value) -> Value {
    for pointer in [
        "/result/serverInfo/version",
        "/result/_meta/io.modelcontextprotocol~1serverInfo/version",
    ] {
        if let Some(version) = answer.pointer_mut(pointer) {
            *version = json!("a process id");
        }
    }
    answer
}

/// Both fronts give the same answers, and the same before a child as before a server over HTTP.
async fn same(mode: Mode, flags: &[&str], cases: &[Value]) {
    let mut answers = Vec::new();
    let all = match flags {
        ["modern"] => &BEHIND[..],
        _ => &WITH_HANDSHAKE,
    };
    for &what in all {
        let (mut served, mut forwarded) = fronts(what, mode, flags).await;
        for (at, case) in cases.iter().enumerate() {
            let over_http = normal(served.ask(case).await);
            let over_lines = normal(forwarded.ask(case).await);
            assert_eq!(over_http, over_lines, "{what:?} {mode:?} {case}");
            match what {
                Behind::Child => answers.push(over_lines),
                _ => assert_eq!(over_lines, answers[at], "{what:?} {mode:?} {case}"),
            }
        }
        forwarded.end().await;
    }
}

#[tokio::test]
async fn clients_with_a_handshake_get_the_same() {
    let cases = [
        initialize("2025-06-18"),
        tool("a", "echo", json!({"b": [1, "\u{e4}"]})),
        tool(1, "count", json!({})),
        tool(1.5, "count", json!({})),
        request("l", "tools/list", json!({})),
        tool(2, "none", json!({})),
        tool(3, "twice", json!({})),
        tool(
            6,
            "echo",
            json!({"talk": "io.modelcontextprotocol/protocolVersion"}),
        ),
        tool(4, "noise", json!({})),
        request(5, "logging/setLevel", json!({"level": "info"})),
        initialize("2025-06-18"),
        json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
        json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}),
        json!({"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {"_meta": {"progressToken": 1, "x": 2}, "name": "echo"}}),
    ];
    for mode in [
        Mode::Session,
        Mode::Shared,
        Mode::Exclusive,
        Mode::Stateless,
    ] {
        same(mode, &[], &cases).await;
    }
}

#[tokio::test]
async fn clients_without_a_handshake_get_the_same() {
    let mut without_meta = modern(5, "tools/list", json!({}));
    without_meta["params"]["_meta"]
        .as_object_mut()
        .unwrap()
        .remove("io.modelcontextprotocol/clientCapabilities");
    let cases = [
        modern("d", "server/discover", json!({})),
        modern_tool(1, "echo", json!({"a": 1})),
        modern_tool(2, "none", json!({})),
        modern(3, "ping", json!({})),
        modern(4, "no/such", json!({})),
        without_meta,
        initialize("2025-11-25"),
    ];
    same(Mode::Stateless, &["modern"], &cases).await;
    same(Mode::Session, &["modern"], &cases[..6]).await;
    same(Mode::Session, &[], &cases[..4]).await;
    same(Mode::Shared, &[], &cases[..4]).await;
}

#[tokio::test]
async fn a_death_is_the_same_typed_error_and_the_next_call_works_or_says_why_not() {
    for (mode, then) in [(Mode::Shared, None), (Mode::Session, Some(-32001))] {
        let (mut served, mut forwarded) = fronts(Behind::Child, mode, &[]).await;
        for message in [
            initialize("2025-11-25"),
            tool(1, "die", json!({})),
            tool(2, "echo", json!({})),
        ] {
            let (over_http, over_lines) =
                (served.ask(&message).await, forwarded.ask(&message).await);
            for pointer in ["/error/code", "/error/data/kind", "/id"] {
                if message["method"] == "tools/call" && message["id"] == 2 && pointer == "/id" {
                    continue; // a session that is not there is refused before the body is read
                }
                assert_eq!(
                    over_http.pointer(pointer),
                    over_lines.pointer(pointer),
                    "{message}"
                );
            }
            if message["id"] == 2 {
                assert_eq!(
                    over_lines.pointer("/error/code").and_then(Value::as_i64),
                    then
                );
            }
        }
    }
}

#[tokio::test]
async fn questions_notifications_and_cancellations_pass_both_ways() {
    for what in WITH_HANDSHAKE {
        let (options, server) = behind(what, Mode::Session, &[]).await;
        ask_and_cancel(Forwarded::start(options)).await;
        drop(server);
    }
}

async fn ask_and_cancel(mut client: Forwarded) {
    client.ask(&initialize("2025-11-25")).await;
    client
        .tell(&tool("q", "ask", json!({"id": "why"})).to_string())
        .await;
    let asked = loop {
        let line = client.lines.next_line().await.unwrap().unwrap();
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["id"] == "why" {
            break message;
        }
    };
    assert_eq!(asked["method"], "sampling/createMessage");
    let answered = client
        .ask(&json!({"jsonrpc": "2.0", "id": "why", "result": {"said": 1}}))
        .await;
    assert_eq!(answered["id"], "q");
    client.tell(&tool(7, "hang", json!({})).to_string()).await;
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(
        client.ask(&cancel).await["error"]["data"]["kind"],
        "cancelled"
    );
    let told = client
        .ask(&tool(8, "cancelled", json!({})))
        .await
        .to_string();
    assert!(told.contains("requestId"), "{told}");
    client.end().await;
}

#[tokio::test]
async fn subscriptions_to_resources_are_the_same_and_bring_their_changes() {
    let about = |id: u32, what: &str, uri: &str| {
        let method = format!("resources/{what}");
        request(id, &method, json!({"uri": uri}))
    };
    let cases = [
        initialize("2025-06-18"),
        about(1, "subscribe", "file:///a"),
        about(2, "subscribe", "file:///a"),
        about(3, "subscribe", "refused:a"),
        about(4, "unsubscribe", "file:///b"),
        about(5, "unsubscribe", "file:///a"),
        about(6, "subscribe", &"x".repeat(3000)),
        request(7, "resources/subscribe", json!({"uri": 7})),
        tool(8, "wishes", json!({})),
    ];
    same(Mode::Shared, &["resources"], &cases).await;
    for what in WITH_HANDSHAKE {
        let (options, _server) = behind(what, Mode::Shared, &["resources"]).await;
        let mut client = Forwarded::start(options);
        client.ask(&initialize("2025-06-18")).await;
        client.ask(&about(1, "subscribe", "file:///a")).await;
        let update = tool(2, "update", json!({"uri": "file:///a"}));
        client.tell(&update.to_string()).await;
        let (mut changed, mut answered) = (0, 0);
        while (changed, answered) != (1, 1) {
            let message = client.message().await;
            changed += u32::from(message["method"] == "notifications/resources/updated");
            answered += u32::from(message["id"] == 2);
        }
        client.end().await;
    }
}

#[tokio::test]
async fn a_cancellation_without_a_session_reaches_the_child_and_ends_the_call() {
    for what in BEHIND {
        let (options, server) = behind(what, Mode::Stateless, &["modern"]).await;
        cancel_without_a_session(Forwarded::start(options), server.as_ref()).await;
        drop(server);
    }
}

async fn cancel_without_a_session(mut client: Forwarded, behind: Option<&Server>) {
    // From here on nothing else is in flight.
    client.ask(&modern_tool(1, "echo", json!({}))).await;
    client
        .tell(&modern_tool(7, "hang", json!({})).to_string())
        .await;
    if let Some(server) = behind {
        // What was not sent yet is not cancelled there.
        in_flight(server, 1).await;
    }
    client
        .tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#)
        .await;
    let begun = std::time::Instant::now();
    loop {
        let told = client
            .ask(&modern_tool(8, "cancelled", json!({})))
            .await
            .to_string();
        if told.contains("the client went away") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{told}");
    }
    client.end().await;
}

#[tokio::test]
async fn batches_are_the_same_in_the_revision_that_knows_them_and_refused_in_others() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    let batches = [
        json!([
            tool(1, "echo", json!({"n": 1})),
            note,
            tool("1", "none", json!({}))
        ]),
        json!([]),
        json!([initialize("2025-03-26")]),
    ];
    for (mode, version) in [
        (Mode::Session, "2025-03-26"),
        (Mode::Shared, "2025-03-26"),
        (Mode::Session, "2025-06-18"),
    ] {
        let (mut served, mut forwarded) = fronts(Behind::Child, mode, &[]).await;
        for message in std::iter::once(&initialize(version)).chain(&batches) {
            let (one, other) = (served.ask(message).await, forwarded.ask(message).await);
            assert_eq!(normal(one), normal(other), "{mode:?} {version}: {message}");
        }
        // One that nothing answers: the next answer is that of what comes after it.
        forwarded.tell(&json!([note]).to_string()).await;
        let after = forwarded.ask(&request(9, "ping", json!({}))).await;
        let first = if version == "2025-03-26" {
            json!(9)
        } else {
            Value::Null
        };
        assert_eq!(after["id"], first);
        drop(forwarded);
    }
}
