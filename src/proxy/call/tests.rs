//! Inboxes, flights and calls.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::proxy::wire::{Code, Fault, RawId};

fn next<E>(inbox: &Inbox<E>) -> Poll<Item<E>> {
    inbox.poll(&mut Context::from_waker(Waker::noop()))
}

fn flight(takes_stream: bool) -> crate::sync::Arc<Flight> {
    Flight::new(RawId::new("\"mine\""), None, Owner::Nobody, takes_stream)
}

#[test]
fn messages_come_before_the_end_and_the_end_once() {
    let inbox = Inbox::default();
    inbox.push(Bytes::from_static(b"a")).unwrap();
    assert!(inbox.finish(1));
    assert!(!inbox.finish(2));
    assert!(inbox.push(Bytes::from_static(b"b")).is_err());
    assert!(matches!(next(&inbox), Poll::Ready(Item::Message(message)) if message == "a"));
    assert!(matches!(next(&inbox), Poll::Ready(Item::End(1))));
    assert!(next(&inbox).is_pending());
}

#[test]
fn a_reader_that_left_takes_nothing() {
    let inbox = Inbox::<()>::default();
    inbox.push(Bytes::from_static(b"a")).unwrap();
    inbox.leave();
    assert!(inbox.push(Bytes::from_static(b"b")).is_err());
    assert!(!inbox.finish(()));
}

#[test]
fn a_slow_reader_bounds_what_waits_for_it() {
    let inbox = Inbox::<()>::default();
    let large = Bytes::from(vec![0; 8 << 20]);
    inbox
        .push(large.clone())
        .expect("one large message fits into an empty inbox");
    assert!(inbox.push(Bytes::from_static(b"b")).is_err());
    let inbox = Inbox::<()>::default();
    let taken = (0..10_000)
        .take_while(|_| inbox.push(Bytes::from_static(b"x")).is_ok())
        .count();
    assert_eq!(taken, 1024);
}

#[test]
fn an_answer_gets_the_clients_own_id_back() {
    let flight = flight(false);
    let mut call = Call::new(flight.clone());
    let line = Bytes::from_static(br#"{"id":17,"result":{}}"#);
    assert!(flight.answer(Answer {
        line,
        id_span: Some(6..8),
        is_result: true
    }));
    let step = call.poll_step(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(step, Poll::Ready(Step::Answer { message, is_result: true }) if message == r#"{"id":"mine","result":{}}"#)
    );
}

#[test]
fn a_late_answer_to_a_dropped_call_is_thrown_away() {
    let flight = flight(true);
    drop(Call::new(flight.clone()));
    assert!(!flight.is_awaited());
    assert!(!flight.fail(Fault::new(Code::ChildDied, "gone")));
    assert!(flight.relate(Bytes::from_static(b"{}")).is_err());
}

#[test]
fn a_client_that_takes_no_stream_gets_no_related_message() {
    let flight = flight(false);
    let _call = Call::new(flight.clone());
    assert!(flight.relate(Bytes::from_static(b"{}")).is_err());
}
