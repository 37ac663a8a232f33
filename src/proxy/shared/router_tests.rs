//! What of an upstream over HTTP is a sign of life, whom its streams are for, and what a child may say with nothing to
//! do.

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

use super::router::ChildRouter;
use super::tests::{SILENCE, fly, limits, router, step};
use crate::proxy::call::Step;
use crate::proxy::peer::{PeerSink, Stream};
use crate::proxy::session::SessionTable;
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::Timeouts;
use crate::sync::Arc;
use crate::transport::LineSink;

#[test]
fn a_refusal_is_a_sign_of_life_and_that_nobody_is_there_is_none() {
    let audience = Arc::new(SessionTable::new(1));
    let router = ChildRouter::new(1, Timeouts::default(), audience, Arc::new(Notify::new()));
    for (code, is_sign) in [
        (Code::UpstreamRefused, true),
        (Code::UpstreamFailed, true),
        (Code::SessionEnded, true),
        (Code::NoChild, false),
        (Code::ChildDied, false),
        // No connection was free here: that says nothing against the upstream.
        (Code::Busy, true),
    ] {
        let ping = RequestId::from_raw("\"plunge-ping\"").unwrap();
        router.on_fault(&ping, Fault::new(code, "said"));
        assert_eq!(router.heard.lately(), is_sign, "{code:?}");
    }
}

/// What answers nothing, and is asked of nobody.
const UNASKED: [&str; 8] = [
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":16384,"progress":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/nobody/knows"}"#,
    "plain words",
    r#"[{"jsonrpc":"2.0","method":"notifications/progress"}]"#,
];
const SIGNS: [&str; 2] = [
    r#"{"jsonrpc":"2.0","id":"mine","method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":"plunge-ping","result":{}}"#,
];

fn of_one() -> ChildRouter {
    ChildRouter::of_one(limits(), Arc::new(SessionTable::new(1)))
}

fn is_stained_by(router: &ChildRouter, line: &'static str) -> bool {
    router.on_line(Bytes::from_static(line.as_bytes()));
    router.is_stained()
}

#[test]
fn a_child_for_one_request_is_stained_by_whatever_follows_its_answer() {
    for line in UNASKED {
        let router = of_one();
        router.serve();
        let (own, _call) = fly(&router, "1", 1);
        assert!(!is_stained_by(&router, line), "in flight: {line}");
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{own},"result":{{}}}}"#);
        router.on_line(answer.into());
        assert!(!router.is_stained(), "it answered");
        assert!(is_stained_by(&router, line), "{line}");
    }
}

#[test]
fn a_sign_of_life_stains_nobody() {
    let router = of_one();
    router.serve();
    for line in SIGNS {
        assert!(!is_stained_by(&router, line), "{line}");
    }
}

#[test]
fn what_a_child_says_while_it_is_asked_for_a_sign_of_life_is_about_that() {
    for line in UNASKED {
        let [asked, leased] = [(); 2].map(|()| of_one());
        for router in [&asked, &leased] {
            router.serve();
            router.ask();
            assert!(!is_stained_by(router, line), "{line}");
        }
        assert!(!is_stained_by(&asked, SIGNS[1]));
        assert!(is_stained_by(&asked, line), "it answered: {line}");
        leased.serve();
        assert!(is_stained_by(&leased, line), "it had a request: {line}");
    }
}

#[test]
fn what_a_child_says_before_its_first_request_is_about_none() {
    let router = of_one();
    for line in UNASKED {
        assert!(!is_stained_by(&router, line), "{line}");
    }
}

#[test]
fn a_shared_child_may_say_what_it_likes() {
    let router = router();
    router.serve();
    for line in UNASKED {
        assert!(!is_stained_by(&router, line), "{line}");
    }
}

#[tokio::test]
async fn a_log_line_goes_to_the_call_whose_stream_brought_it_and_to_no_other() {
    let router = router();
    let line = Bytes::from_static(
        br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}"#,
    );
    let (own, mut call) = fly(&router, "1", 1);
    router.on_line_of(line.clone(), Stream::Session);
    assert!(step(&mut call).is_none(), "it is about nobody's call");
    let (_, mut other) = fly(&router, "2", 1);
    let id = RequestId::Integer(own as i64);
    router.on_line_of(line.clone(), Stream::Request(&id));
    assert!(matches!(step(&mut call), Some(Step::Related(message)) if message == line));
    router.flights.take(own);
    router.on_line_of(line, Stream::Request(&id));
    assert!(step(&mut other).is_none(), "it is late");
}

#[tokio::test(start_paused = true)]
async fn what_comes_on_the_stream_of_a_call_is_a_sign_of_its_answer_and_of_no_other() {
    let router = router();
    let ((own, _call), (other, _other)) = (fly(&router, "1", 1), fly(&router, "2", 1));
    let id = RequestId::Integer(own as i64);
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#,
    ] {
        advance(SILENCE / 2).await;
        router.on_line_of(Bytes::from(line), Stream::Request(&id));
    }
    let late = |expired: Vec<_>| expired.into_iter().map(|(id, _)| id).collect::<Vec<u64>>();
    assert_eq!(late(router.flights.take_expired(Instant::now())), [other]);
    advance(SILENCE).await;
    assert_eq!(late(router.flights.take_expired(Instant::now())), [own]);
}

#[test]
fn what_the_stream_of_a_session_brings_is_about_no_request() {
    for line in UNASKED {
        let router = of_one();
        router.serve();
        router.on_line_of(Bytes::from_static(line.as_bytes()), Stream::Session);
        assert!(!router.is_stained(), "{line}");
    }
}

#[test]
fn what_comes_in_one_line_with_the_answer_is_not_behind_it() {
    let router = of_one();
    router.serve();
    let (own, _call) = fly(&router, "1", 1);
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    router.on_line(format!(r#"[{log},{{"jsonrpc":"2.0","id":{own},"result":{{}}}}]"#).into());
    assert!(!router.is_stained());
    assert_eq!(router.flights.len(), 0);
}
