//! The clocks of a session's requests while its child waits for an answer of the client.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::routes::Routes;
use crate::proxy::call::{Call, Flight, Owner};
use crate::proxy::peer::{PeerSink, Stream};
use crate::proxy::wire::{RawId, RequestId};
use crate::resilience::{Deadline, Timeouts};
use crate::sync::Arc;
use crate::transport::LineSink;

const SILENCE: Duration = Duration::from_secs(30);
const OVERALL: Duration = Duration::from_secs(15 * 60);

fn limits() -> Timeouts {
    Timeouts {
        request: SILENCE,
        idle: SILENCE,
        overall: OVERALL,
        ..Timeouts::default()
    }
}

fn routes() -> Arc<Routes> {
    Routes::new(limits(), &Arc::default())
}

fn fly(routes: &Routes, id: &str, takes_stream: bool) -> Call {
    let flight = Flight::new(RawId::new(id), None, Owner::Nobody, takes_stream);
    let begun = Deadline::new(&limits(), Instant::now());
    routes.insert(&flight, begun, 10).unwrap();
    Call::new(flight)
}

fn ask(routes: &Routes) {
    routes.on_line(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":5,"method":"roots/list"}"#,
    ));
}

/// Whether the only request is over after so long a silence.
async fn ends_after(routes: &Routes, silence: Duration) -> bool {
    advance(silence).await;
    routes.expired(Instant::now()).len() == 1
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_can_see_stops_no_clock() {
    let routes = routes();
    let _before = fly(&routes, "1", false);
    ask(&routes);
    assert!(ends_after(&routes, SILENCE).await);
    let _after = fly(&routes, "2", false);
    assert!(ends_after(&routes, SILENCE).await);
    assert!(routes.take_asked(&RequestId::Integer(5)), "it still waits");
}

#[tokio::test(start_paused = true)]
async fn a_question_stops_the_clocks_once_a_stream_brings_it() {
    let routes = routes();
    let _before = fly(&routes, "1", false);
    ask(&routes);
    let _stream = routes.outbox.open();
    assert!(!ends_after(&routes, SILENCE / 2).await);
    assert!(!ends_after(&routes, SILENCE).await, "somebody thinks");
    assert!(routes.take_asked(&RequestId::Integer(5)));
    assert!(!ends_after(&routes, SILENCE / 2).await);
    assert!(ends_after(&routes, SILENCE).await);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_not_answered_in_the_time_of_a_call_is_given_up() {
    let routes = routes();
    let _stream = routes.outbox.open();
    ask(&routes);
    advance(OVERALL - SILENCE).await;
    let _call = fly(&routes, "1", false);
    assert!(
        !ends_after(&routes, SILENCE).await,
        "it was held up until now"
    );
    assert!(ends_after(&routes, SILENCE).await);
    assert!(
        routes.take_asked(&RequestId::Integer(5)),
        "a late answer is taken"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_did_not_arrive_can_be_given_again() {
    let routes = routes();
    let _stream = routes.outbox.open();
    let _call = fly(&routes, "1", false);
    ask(&routes);
    let id = RequestId::Integer(5);
    assert!(routes.take_asked(&id));
    routes.ask_again(id.clone());
    assert!(!ends_after(&routes, 2 * SILENCE).await, "it waits for it");
    assert!(routes.take_asked(&id));
    assert!(!routes.take_asked(&id));
}

#[tokio::test(start_paused = true)]
async fn what_comes_on_the_stream_of_a_call_is_a_sign_of_its_answer_and_of_no_other() {
    let routes = routes();
    let _call = fly(&routes, "1", true);
    let (own, other) = (RequestId::Integer(1), RequestId::Integer(2));
    let log = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
    for stream in [Stream::Request(&own), Stream::Request(&own)] {
        assert!(!ends_after(&routes, SILENCE / 2).await);
        routes.on_line_of(log.clone(), stream);
    }
    assert!(!ends_after(&routes, SILENCE / 2).await);
    for stream in [Stream::Request(&other), Stream::Session, Stream::Only] {
        routes.on_line_of(log.clone(), stream);
    }
    assert!(ends_after(&routes, SILENCE / 2).await);
}
