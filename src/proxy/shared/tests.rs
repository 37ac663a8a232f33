//! Where the lines of a shared child go, and what clients are told of it.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::flights::Refused;
use super::router::ChildRouter;
use super::waiting::Waiting;
use crate::proxy::call::{Call, Flight, Manner, Owner, Step};
use crate::proxy::guard::{Guard, Share};
use crate::proxy::peer::PeerSink;
use crate::proxy::session::SessionTable;
use crate::proxy::wire::{Code, Fault, RawId, RequestId};
use crate::resilience::{BreakerOptions, BreakerState, Deadline, Outcome, Timeouts};
use crate::sync::Arc;
use crate::transport::{Death, LineSink};

pub(super) const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn limits() -> Timeouts {
    Timeouts {
        request: SILENCE,
        idle: SILENCE,
        ..Timeouts::default()
    }
}

pub(super) fn begun() -> Deadline {
    Deadline::new(&limits(), Instant::now())
}

pub(super) fn router() -> ChildRouter {
    ChildRouter::new(
        16,
        limits(),
        Arc::new(SessionTable::new(10)),
        Arc::new(Notify::new()),
    )
}

pub(super) fn flight(id: &str, owner: u64) -> Arc<Flight> {
    Flight::new(
        RawId::new(id),
        Some(RawId::new("\"token\"")),
        Owner::Session(owner),
        true,
    )
}

pub(super) fn fly(router: &ChildRouter, id: &str, owner: u64) -> (u64, Call) {
    let flight = flight(id, owner);
    let own = router.flights.insert(&flight, begun()).unwrap();
    (own, Call::new(flight))
}

pub(super) fn step(call: &mut Call) -> Option<Step> {
    match call.poll_step(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(step) => Some(step),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn equal_ids_of_two_clients_never_mix() {
    let router = router();
    let ((first, mut one), (second, mut other)) = (fly(&router, "1", 1), fly(&router, "1", 2));
    assert_ne!(first, second);
    router.on_line(Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","result":{{"to":2}},"id":{second}}}"#
    )));
    assert!(step(&mut one).is_none());
    assert!(
        matches!(step(&mut other), Some(Step::Answer { message, .. }) if message == r#"{"jsonrpc":"2.0","result":{"to":2},"id":1}"#)
    );
    assert_eq!(router.flights.len(), 1);
}

#[tokio::test]
async fn progress_reaches_its_request_under_the_clients_own_token() {
    let router = router();
    let ((own, mut call), (_, mut other)) = (fly(&router, "1", 1), fly(&router, "2", 1));
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":0.5,"progressToken":{own}}}}}"#
    );
    router.on_line(Bytes::from(line.clone()));
    assert!(
        matches!(step(&mut call), Some(Step::Related(message)) if message == line.replace(&format!("{own}}}"), "\"token\"}"))
    );
    assert!(step(&mut other).is_none());
    router.on_line(Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"token"}}"#));
    assert!(
        step(&mut call).is_none(),
        "a token that the proxy did not make names nobody"
    );
}

#[tokio::test]
async fn a_request_that_is_cancelled_as_a_child_comes_does_not_get_it() {
    let (waiting, flight) = (Waiting::default(), flight("1", 1));
    let ready = async {
        waiting.cancel(Owner::Session(1), &RequestId::Integer(1));
        Ok(())
    };
    let fault = waiting.wait(&flight, ready).await.unwrap_err();
    assert_eq!(fault.code, Code::Cancelled);
}

/// A subscription, and the id that its child knows it by.
fn listen(router: &ChildRouter) -> (u64, Call) {
    let (id, owner, manner) = (RawId::new("\"mine\""), Owner::Nobody, Manner::Listening);
    let flight = Flight::admitted(id, None, owner, true, manner, None);
    let own = router.flights.insert(&flight, begun()).unwrap();
    (own, Call::new(flight))
}

#[tokio::test]
async fn a_subscription_that_missed_a_change_ends_so_that_it_is_begun_anew() {
    let router = router();
    let (own, mut call) = listen(&router);
    let tag = "io.modelcontextprotocol/subscriptionId";
    let method = "notifications/tools/list_changed";
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"{tag}":{own}}}}}}}"#
    );
    let line = Bytes::from(line);
    for _ in 0..2000 {
        router.on_line(line.clone());
    }
    assert_eq!(router.flights.listening(), 0);
    let mut told = 0;
    let end = loop {
        match step(&mut call).unwrap() {
            Step::Related(_) => told += 1,
            end => break end,
        }
    };
    assert!(told > 0, "what came before is told");
    assert!(matches!(end, Step::Fault(fault) if fault.code == Code::Busy));
}

#[tokio::test]
async fn a_subscription_that_its_server_cancels_ends_in_order() {
    let router = router();
    let (own, mut call) = listen(&router);
    let (request, mut other) = fly(&router, "1", 1);
    for id in [own, own, request] {
        let params = format!(r#"{{"requestId":{id}}}"#);
        router.on_line(Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
        )));
    }
    assert!(
        matches!(step(&mut call), Some(Step::Answer { message, is_result: true }) if message.starts_with(b"{") && String::from_utf8_lossy(&message).contains("\"id\":\"mine\""))
    );
    assert!(step(&mut other).is_none(), "no client asked for that");
    assert_eq!((router.flights.listening(), router.heard.dropped()), (0, 2));
}

/// Has the child say something about nobody.
fn log(router: &ChildRouter) {
    router.on_line(Bytes::from_static(
        br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}"#,
    ));
}

#[tokio::test]
async fn a_log_line_goes_on_only_while_one_request_is_in_flight() {
    let router = router();
    let (own, mut first) = fly(&router, "1", 1);
    log(&router);
    assert!(matches!(step(&mut first), Some(Step::Related(_))));
    let (_, mut second) = fly(&router, "2", 1);
    log(&router);
    assert!(step(&mut first).is_none() && step(&mut second).is_none());
    assert_eq!(router.heard.dropped(), 1);
    router.flights.take(own);
    log(&router);
    assert!(
        matches!(step(&mut second), Some(Step::Related(_))),
        "it may be about the request before, which was the same client's"
    );
}

#[tokio::test]
async fn a_log_line_of_a_child_that_served_somebody_else_reaches_nobody() {
    let router = router();
    let (own, _) = fly(&router, "1", 1);
    router.flights.take(own);
    for owner in [2, 1] {
        let (own, mut call) = fly(&router, "1", owner);
        log(&router);
        assert!(step(&mut call).is_none(), "it may be about the other's");
        router.flights.take(own);
    }
    assert_eq!(router.heard.dropped(), 2);
}

#[tokio::test]
async fn a_log_line_reaches_nobody_who_cannot_be_told_from_others() {
    let router = router();
    let flight = Flight::new(RawId::new("1"), None, Owner::Nobody, true);
    router.flights.insert(&flight, begun()).unwrap();
    log(&router);
    assert!(step(&mut Call::new(flight)).is_none());
    assert_eq!(router.heard.dropped(), 1);
}

#[tokio::test]
async fn a_death_fails_every_request_and_refuses_the_next() {
    let router = router();
    let (_, mut call) = fly(&router, "1", 1);
    router.on_death(&Death::StdoutClosed);
    assert!(matches!(step(&mut call), Some(Step::Fault(fault)) if fault.code == Code::ChildDied));
    assert!(matches!(
        router.flights.insert(&flight("2", 1), begun()),
        Err(Refused::Over(_))
    ));
    assert_eq!(router.flights.len(), 0);
}

/// So many calls that are let in at once, each with the child that it is on.
fn let_in(guard: &Arc<Guard>, count: usize, on: impl Fn(usize) -> usize) -> Vec<ChildRouter> {
    let children: Vec<_> = (0..count).map(|_| router()).collect();
    for nth in 0..count {
        let ticket = guard.admit(Share::Here).expect("it is closed");
        let (id, owner) = (RawId::new(&nth.to_string()), Owner::Nobody);
        let flight = Flight::admitted(id, None, owner, true, Manner::Modern, Some(ticket));
        children[on(nth)].flights.insert(&flight, begun()).unwrap();
    }
    children
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_has_begun_makes_room_for_another_call() {
    let options = BreakerOptions {
        failures: 1,
        ..BreakerOptions::default()
    };
    let guard = Guard::new(options, true);
    guard.admit(Share::Here).unwrap().end(Outcome::Failure);
    tokio::time::advance(options.cooldown).await;
    let children = let_in(&guard, 1, |_| 0);
    assert!(guard.admit(Share::Here).is_err());
    children[0].on_sign(&RequestId::Integer(1 << 14));
    assert!(guard.admit(Share::Here).is_ok());
}

#[tokio::test]
async fn each_death_of_a_process_is_a_failure_however_many_calls_it_had() {
    let guard = |is_one_server| Guard::new(BreakerOptions::default(), is_one_server);
    let death = Death::StdoutClosed;
    let many = guard(false);
    for child in let_in(&many, 12, |nth| nth) {
        child.on_death(&death);
    }
    assert_eq!(many.state(), BreakerState::Open, "each had a process");
    let one = guard(false);
    for child in let_in(&one, 12, |_| 0) {
        child.on_death(&death);
    }
    assert_eq!(one.state(), BreakerState::Closed, "all had the same");
    let server = guard(true);
    for child in let_in(&server, 12, |nth| nth) {
        let own = RequestId::Integer(1 << 14);
        child.on_fault(&own, Fault::new(Code::ChildDied, "broken"));
    }
    assert_eq!(server.state(), BreakerState::Closed, "it went once");
}
