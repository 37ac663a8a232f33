//! What is sent again, and what is not.

use tokio::time::Instant;

use super::*;
use crate::proxy::call::{Flight, Owner};
use crate::proxy::http::{Accepts, Version};
use crate::proxy::options::{HttpUpstream, Mode, ServeOptions, Upstream};
use crate::proxy::wire::{Code, RawId};
use crate::resilience::Deadline;

#[tokio::test]
async fn a_subscription_that_was_given_up_is_not_begun_anew_for_ever() {
    let upstream = HttpUpstream::parse("http://127.0.0.1:1/mcp").unwrap();
    let options = ServeOptions::new(Upstream::Http(upstream), Mode::Stateless);
    let state = AppState::new(options).unwrap();
    let manner = Manner::Listening;
    let flight = Flight::admitted(RawId::new("1"), None, Owner::Nobody, true, manner, None);
    let mut underway = Underway {
        call: Call::new(flight.clone()),
        is_told: false,
        state: state.clone(),
        exchange: Exchange {
            body: Bytes::from_static(
                br#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#,
            ),
            accepts: Accepts {
                json: true,
                stream: true,
            },
            session: None,
            version: Version::LATEST,
            deadline: Deadline::endless(Instant::now()),
            manner,
            retries: 0,
        },
    };
    flight.fail(Fault::new(Code::NoChild, "nobody is there").not_run());
    assert!(
        matches!(underway.step().await, Step::Fault(fault) if fault.message == "nobody is there")
    );
    assert_eq!(state.backend.guard.snapshot()["retried"], 0);
    state.abandon();
}
