//! What a server says of its revision that is none, and who may not come in, whatever the method and the path.

use hyper::Method;
use plunge::proxy::{Mode, Server};
use plunge::transport::Command;
use serde_json::{Value, json};

use crate::client::{Client, initialize, request};
use crate::fixture::{answering, options, start, start_with};
use crate::forwarded::Forwarded;

/// Answers `initialize` with the revision that it was started with, as JSON, and everything else with its method.
const OTHER: &str = r#"
    if method == "initialize":
        answer["result"] = hello(json.loads(sys.argv[1]))
    elif method == "server/discover":
        answer["error"] = {"code": -32601, "message": "no such method"}
    else:
        answer["result"] = {"method": method}
    say(answer)
"#;

fn other(revision: &Value) -> Command {
    answering(OTHER, &revision.to_string())
}

#[tokio::test]
async fn a_revision_of_the_server_that_nobody_knows_is_its_clients_to_judge() {
    for revision in [json!("2031-01-01"), json!("1.0"), json!(7), Value::Null] {
        let (_server, client) = start_with(options(other(&revision), Mode::Session)).await;
        let reply = client.post(&initialize("2025-11-25")).await;
        assert_eq!(reply.json()["result"]["protocolVersion"], revision);
        let session = Client {
            session: Some(reply.headers["mcp-session-id"].to_str().unwrap().to_owned()),
            ..client
        };
        let ping = request(1, "ping", json!({}));
        assert_eq!(session.post(&ping).await.status, 200, "{revision}");
        let mut forwarded = Forwarded::start(options(other(&revision), Mode::Session));
        let answer = forwarded.ask(&initialize("2025-11-25")).await;
        assert_eq!(answer["result"]["protocolVersion"], revision);
        assert_eq!(forwarded.ask(&ping).await["id"], 1);
        forwarded.end().await;
    }
}

#[tokio::test]
async fn a_revision_is_taken_where_it_is_known_or_the_session_agreed_on_it() {
    let (_server, client) = start_with(options(other(&json!("2024-10-07")), Mode::Session)).await;
    let reply = client.post(&initialize("2025-11-25")).await;
    let session = Client {
        session: Some(reply.headers["mcp-session-id"].to_str().unwrap().to_owned()),
        ..client.clone()
    };
    let names = |client: &Client, revision| client.with("mcp-protocol-version", revision);
    let ping = request(1, "ping", json!({}));
    for (revision, status) in [
        ("2024-10-07", 200),
        ("2025-06-18", 200),
        ("2024-10-08", 400),
    ] {
        let session = names(&session, revision);
        assert_eq!(session.post(&ping).await.status, status, "{revision}");
        assert_eq!(session.listen().await.status, status, "{revision}");
    }
    let first = session.listen().await.next_event().await.unwrap();
    assert_eq!(
        first.data, None,
        "not every client takes an event without one"
    );
    let outside = names(&client, "2024-10-07").post(&ping).await;
    assert_eq!(outside.kind(), "unsupported_version");
    let others = names(&session, "2024-10-08").send(Method::DELETE, "").await;
    assert_eq!(others.kind(), "unsupported_version");
    let ended = names(&session, "2024-10-07").send(Method::DELETE, "").await;
    assert_eq!(ended.status, 200);
}

#[tokio::test]
async fn children_that_many_share_are_refused_with_the_revision_that_they_speak() {
    for mode in [Mode::Shared, Mode::Exclusive, Mode::Stateless] {
        for revision in [json!("2031-01-01"), json!(7)] {
            let refused = Server::start(options(other(&revision), mode)).await;
            let error = refused.err().unwrap().to_string();
            assert!(error.contains("protocol"), "{mode:?} {revision}: {error}");
            let named = revision.as_str().is_none_or(|named| error.contains(named));
            assert!(named, "{mode:?}: {error}");
        }
    }
}

#[tokio::test]
async fn who_comes_from_elsewhere_is_refused_with_every_method_on_every_path() {
    for mode in [Mode::Session, Mode::Shared] {
        let (_server, client) = start(mode).await;
        let session = client.begin().await;
        let mut old = client.listen_at("/sse").await;
        let messages = old.next_event().await.unwrap().data.unwrap();
        let ping = request(1, "ping", json!({})).to_string();
        for (name, value) in [
            ("host", "evil.example"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
        ] {
            for (method, path, body) in [
                (Method::POST, "/mcp", ping.as_str()),
                (Method::GET, "/mcp", ""),
                (Method::DELETE, "/mcp", ""),
                (Method::GET, "/sse", ""),
                (Method::POST, &*messages, &*ping),
            ] {
                let hostile = session.with(name, value);
                let reply = hostile.open(method.clone(), path, body.to_owned().into());
                let status = reply.await.status();
                assert_eq!(status, 403, "{mode:?}: {method} {path} {name}: {value}");
            }
        }
        // Neither session was ended by that.
        let asked = session.post(&request(2, "ping", json!({}))).await;
        assert_eq!(asked.status, 200);
        let asked = client.open(Method::POST, &messages, ping.clone().into());
        assert_eq!(asked.await.status(), 202);
    }
}
