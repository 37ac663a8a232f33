//! What a message becomes on its way to an upstream.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::HeaderValue;

use tokio::runtime::Handle;

use super::RemoteSource;
use super::ask::fault_of;
use super::core::Core;
use super::head::{Media, Names, media, of_get, of_post};
use super::outgoing::{Outgoing, What};
use crate::proxy::guard::Guard;
use crate::proxy::http::ToolHeaders;
use crate::proxy::options::{HttpUpstream, Mode, ServeOptions, Upstream};
use crate::proxy::wire::{Code, RequestId};
use crate::sync::Arc;
use crate::transport::http::HttpError;

fn outgoing(text: &str) -> Outgoing {
    Outgoing::read(
        Bytes::copy_from_slice(text.as_bytes()),
        &ToolHeaders::default(),
    )
    .unwrap()
}

fn names() -> Names {
    Names {
        session: Some(HeaderValue::from_static("s")),
        version: Some(HeaderValue::from_static("2025-06-18")),
    }
}

#[test]
fn messages_take_the_way_of_their_kind() {
    let request = outgoing(r#"{"jsonrpc":"2.0","id":"a","method":"initialize"}"#);
    assert!(matches!(
        request.what,
        What::Request { id: RequestId::Text(id), is_initialize: true, is_repeatable: false, is_listening: false } if &*id == "a"
    ));
    let request = outgoing(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(matches!(
        request.what,
        What::Request {
            is_repeatable: true,
            ..
        }
    ));
    let params =
        r#"{"uri":"a:b","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    for (params, repeats) in [("{}", true), (params, false)] {
        let read =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{params}}}"#);
        assert!(
            matches!(outgoing(&read).what, What::Request { is_repeatable, .. } if is_repeatable == repeats)
        );
    }
    let cancelled = outgoing(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
    );
    assert!(matches!(
        cancelled.what,
        What::Cancelled(Some(RequestId::Integer(7)))
    ));
    let answer = outgoing(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    assert!(matches!(answer.what, What::Other));
    assert!(Outgoing::read(Bytes::from_static(b"nonsense"), &ToolHeaders::default()).is_none());
}

#[test]
fn a_session_is_named_where_the_revision_has_sessions() {
    let always = HeaderMap::new();
    let head = of_post(
        &always,
        &names(),
        &outgoing(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
    );
    assert_eq!(head["mcp-session-id"], "s");
    assert_eq!(head["mcp-protocol-version"], "2025-06-18");
    assert_eq!(
        of_get(&always, &names(), Some("1-2"))["last-event-id"],
        "1-2"
    );
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gr\u00fc\u00df","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let head = of_post(&always, &names(), &outgoing(modern));
    assert!(!head.contains_key("mcp-session-id"));
    assert_eq!(head["mcp-protocol-version"], "2026-07-28");
    assert_eq!(head["mcp-method"], "tools/call");
    assert_eq!(head["mcp-name"], "=?base64?Z3LDvMOf?=");
}

#[test]
fn a_reply_is_json_events_or_neither() {
    let of = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(value));
        media(&headers)
    };
    assert_eq!(of("Application/JSON; charset=utf-8"), Media::Json);
    assert_eq!(of("text/event-stream"), Media::Events);
    assert_eq!(of("text/html"), Media::Other);
    assert_eq!(media(&HeaderMap::new()), Media::Other);
}

#[test]
fn a_message_that_talks_about_a_revision_is_not_of_it() {
    let key = "io.modelcontextprotocol/protocolVersion";
    for params in [
        format!(r#"{{"arguments":{{"text":"{key}"}}}}"#),
        format!(r#"{{"arguments":{{"_meta":{{"{key}":"2026-07-28"}}}}}}"#),
        format!(r#"{{"_meta":{{"progressToken":"{key}"}}}}"#),
        format!(r#"[{{"{key}":"2026-07-28"}}]"#),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert!(!outgoing(&text).names_revision, "{text}");
    }
}

/// A session that is not begun.
pub fn core() -> Arc<Core> {
    let upstream = HttpUpstream::parse("http://127.0.0.1:1/mcp").unwrap();
    let options = ServeOptions::new(Upstream::Http(upstream.clone()), Mode::Session);
    let guard = Guard::new(options.breaker, true);
    let source = RemoteSource::new(&upstream, &options, &Arc::default(), &guard).unwrap();
    Core::new(Arc::new(source), Handle::current())
}

#[tokio::test]
async fn the_revision_that_was_agreed_on_is_named_whether_it_is_spoken_here_or_not() {
    for revision in ["2025-06-18", "2024-10-07"] {
        let core = core();
        let answer =
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"protocolVersion":"{revision}"}}}}"#);
        core.agreed(answer.as_bytes());
        assert_eq!(core.names().version.unwrap(), revision);
    }
}

#[tokio::test]
async fn nothing_begins_in_a_session_that_is_over() {
    let core = core();
    core.stop("its client left");
    let ping = outgoing(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let begun = core.begin(RequestId::Integer(1), ping);
    assert_eq!(begun.unwrap_err().code, Code::ChildDied);
}

#[test]
fn what_found_a_connection_closed_before_it_was_written_did_not_run() {
    let fault = fault_of(&HttpError::Dropped);
    assert_eq!((fault.code, fault.not_run), (Code::NoChild, true));
}
