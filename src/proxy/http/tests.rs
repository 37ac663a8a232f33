//! Header checks and the encoding of events.

use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::sse::encode;
use super::*;
use crate::proxy::call::Inbox;
use crate::proxy::session::Outbox;
use crate::proxy::wire::Code;
use crate::sync::Arc;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    map
}

fn policy(listen: &str) -> HostPolicy {
    let listen: SocketAddr = listen.parse().unwrap();
    HostPolicy::new(
        listen,
        &[String::from("Proxy.example")],
        &[String::from("https://app.example")],
    )
}

#[test]
fn accept_is_read_as_a_list_with_weights() {
    let read = |value: &'static str| {
        let found = accepts(&headers(&[("accept", value)]));
        (found.json, found.stream)
    };
    assert_eq!(read("application/json, text/event-stream"), (true, true));
    assert_eq!(read("text/event-stream"), (false, true));
    assert_eq!(read("*/*"), (true, false));
    assert_eq!(read("Application/JSON;q=0.5"), (true, false));
    assert_eq!(
        read("application/json;q=0, text/event-stream"),
        (false, true)
    );
    assert_eq!(read("text/html"), (false, false));
    assert_eq!(
        accepts(&HeaderMap::new()),
        Accepts {
            json: true,
            stream: false
        }
    );
}

#[test]
fn only_json_bodies_are_read() {
    assert!(
        check_json(&headers(&[(
            "content-type",
            "application/json; charset=utf-8"
        )]))
        .is_ok()
    );
    for wrong in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/jsonx")],
    ] {
        assert_eq!(
            check_json(&headers(wrong)).unwrap_err().code,
            Code::WrongMediaType
        );
    }
}

#[test]
fn a_version_is_absent_known_agreed_on_or_refused() {
    let names = |named| headers(&[("mcp-protocol-version", named)]);
    assert!(version(&HeaderMap::new(), None).is_ok());
    assert!(version(&names("2025-06-18"), None).is_ok());
    for unknown in ["1999-01-01", "", "2025-06-18 "] {
        let fault = version(&names(unknown), Some("1999-01-02")).unwrap_err();
        assert_eq!(fault.code, Code::UnsupportedVersion);
    }
    assert!(version(&names("1999-01-01"), Some("1999-01-01")).is_ok());
    let twice = headers(&[
        ("mcp-protocol-version", "2025-06-18"),
        ("mcp-protocol-version", "2025-03-26"),
    ]);
    assert!(version(&twice, None).is_err());
}

#[test]
fn a_session_id_is_visible_ascii_and_single() {
    assert_eq!(
        session_id(&headers(&[("mcp-session-id", "a~!")])).unwrap(),
        Some("a~!")
    );
    for wrong in ["", "a b", "a\tb"] {
        assert!(
            session_id(&headers(&[("mcp-session-id", wrong)])).is_err(),
            "{wrong:?}"
        );
    }
    assert!(
        session_id(&headers(&[
            ("mcp-session-id", "a"),
            ("mcp-session-id", "b")
        ]))
        .is_err()
    );
}

#[test]
fn on_loopback_only_loopback_names_and_allowed_ones_are_served() {
    let policy = policy("127.0.0.1:8808");
    for host in [
        "localhost:8808",
        "127.0.0.1",
        "[::1]:9",
        "127.8.8.8",
        "LOCALHOST",
        "proxy.example:1",
    ] {
        assert!(policy.check(&headers(&[("host", host)])).is_ok(), "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[::1",
        "127.0.0.1.evil",
    ] {
        assert_eq!(
            policy.check(&headers(&[("host", host)])).unwrap_err().code,
            Code::Forbidden,
            "{host}"
        );
    }
    assert_eq!(
        policy.check(&HeaderMap::new()).unwrap_err().code,
        Code::BadHeader
    );
}

#[test]
fn pages_of_other_sites_are_kept_out() {
    let policy = policy("127.0.0.1:8808");
    let check = |origin| policy.check(&headers(&[("host", "localhost"), ("origin", origin)]));
    for origin in [
        "http://localhost:6274",
        "https://127.0.0.1",
        "http://[::1]:1",
        "https://app.example",
    ] {
        assert!(check(origin).is_ok(), "{origin}");
    }
    for origin in [
        "http://evil.example",
        "null",
        "",
        "http://localhost@evil.example",
        "file://",
        "http://localhost.evil.example",
    ] {
        assert_eq!(check(origin).unwrap_err().code, Code::Forbidden, "{origin}");
    }
}

#[test]
fn elsewhere_a_page_may_talk_to_the_host_it_came_from_where_nobody_else_can_have_the_name() {
    let policy = policy("0.0.0.0:8808");
    let check = |host, origin| policy.check(&headers(&[("host", host), ("origin", origin)]));
    for (host, origin) in [
        ("proxy.example:8808", "http://proxy.example:8808"),
        ("10.0.0.5:8808", "http://10.0.0.5:8808"),
        ("[fd00::1]:8808", "http://[fd00::1]:8808"),
    ] {
        assert!(check(host, origin).is_ok(), "{origin} at {host}");
    }
    for (host, origin) in [
        ("proxy.example:8808", "http://evil.example"),
        ("proxy.example:8808", "http://localhost"),
        ("evil.example", "http://evil.example"),
    ] {
        assert!(check(host, origin).is_err(), "{origin} at {host}");
    }
}

#[test]
fn elsewhere_names_are_served_that_are_named_or_all_where_none_is() {
    let served = |hosts: &[String], host| {
        let policy = HostPolicy::new("0.0.0.0:8808".parse().unwrap(), hosts, &[]);
        policy.check(&headers(&[("host", host)])).is_ok()
    };
    let named = [String::from("proxy.example")];
    for host in ["proxy.example", "10.0.0.5:8808", "[fd00::1]", "localhost"] {
        assert!(served(&named, host) && served(&[], host), "{host}");
    }
    assert!(served(&[], "any.example") && !served(&named, "any.example"));
    assert!(!served(&[], "") && !served(&named, ""));
    let policy = HostPolicy::new("0.0.0.0:8808".parse().unwrap(), &[], &[]);
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert!(policy.check(&headers(&rebound)).is_err());
}

#[test]
fn a_notification_says_what_its_header_says() {
    let check = |head: &[(&'static str, &'static str)]| {
        check_notification(&headers(head), "notifications/a")
    };
    assert!(check(&[]).is_ok());
    assert!(check(&[("mcp-method", "notifications/a")]).is_ok());
    let fault = check(&[("mcp-method", "notifications/b")]).unwrap_err();
    assert_eq!(fault.code, Code::HeaderMismatch);
}

#[test]
fn an_event_is_one_message_on_one_line() {
    assert_eq!(
        encode(b"{\"a\":1}", None),
        "event: message\ndata: {\"a\":1}\n\n"
    );
    assert_eq!(encode(b"{\n}", None), "event: message\ndata: { }\n\n");
}

/// A session's stream, and what comes on it.
fn open() -> (Arc<Inbox<()>>, EventStream) {
    let inbox = Arc::new(Inbox::default());
    let source = Source::Session(SessionStream {
        inbox: inbox.clone(),
        outbox: Outbox::closed(),
    });
    (inbox, EventStream::new(source, None))
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_lives_every_fifteen_seconds() {
    let (inbox, mut stream) = open();
    let begun = tokio::time::Instant::now();
    let mut next = async || std::future::poll_fn(|cx| stream.poll_bytes(cx)).await;
    for beat in 1..=3 {
        assert_eq!(next().await.unwrap(), ": keep-alive\n\n");
        assert_eq!(begun.elapsed().as_secs(), 15 * beat);
    }
    inbox.push(Bytes::from_static(b"{}")).unwrap();
    inbox.finish(());
    assert_eq!(next().await.unwrap(), encode(b"{}", None));
    assert!(next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_is_dropped_leaves_its_inbox() {
    let (inbox, mut stream) = open();
    assert!(matches!(
        stream.poll_bytes(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    ));
    drop(stream);
    assert!(inbox.push(Bytes::new()).is_err());
}
