//! What of an upstream over HTTP is a sign of life, and whom its streams are for.

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, advance};

use super::router::ChildRouter;
use super::tests::{SILENCE, fly, router, step};
use crate::proxy::call::Step;
use crate::proxy::peer::{PeerSink, Stream};
use crate::proxy::session::SessionTable;
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::Timeouts;
use crate::sync::Arc;

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
