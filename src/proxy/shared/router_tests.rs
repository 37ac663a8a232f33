//! What a router makes of a request that failed without an answer.

use tokio::sync::Notify;

use super::router::ChildRouter;
use super::tests::{fly, router};
use crate::proxy::peer::PeerSink;
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

#[test]
fn only_a_request_that_was_not_looked_at_leaves_the_upstream_no_work() {
    let broken = || Fault::new(Code::UpstreamFailed, "the answer broke off");
    for (fault, is_free) in [(broken(), false), (broken().not_run(), true)] {
        let router = router();
        let (own, _lost) = fly(&router, "1", 1);
        router.on_fault(&RequestId::from_raw(&own.to_string()).unwrap(), fault);
        let (_, _next) = fly(&router, "1", 2);
        assert_eq!(router.flights.sole().is_some(), is_free);
    }
}
