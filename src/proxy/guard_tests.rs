//! The budget of retries, by the calls that fill it; and the one call that is let in to see.

use super::*;
use crate::proxy::call::{Flight, Manner, Owner};
use crate::proxy::wire::RawId;

/// Retries that are allowed at once, after so many calls within sessions.
fn retries_after(calls: u32, is_one_server: bool) -> usize {
    let guard = Guard::new(BreakerOptions::default(), is_one_server);
    for _ in 0..calls {
        guard
            .admit_in_session(Share::Here)
            .unwrap()
            .end(Outcome::Success);
    }
    std::iter::repeat_with(|| guard.may_retry(false))
        .take_while(|may| *may)
        .count()
}

#[tokio::test(start_paused = true)]
async fn calls_within_sessions_with_one_server_bring_their_share_of_retries() {
    assert_eq!(retries_after(0, true), RETRIES.1 as usize);
    assert_eq!(retries_after(100, true), (RETRIES.0 + RETRIES.1) as usize);
}

/// An open guard whose pause is over, and the one call that it lets in.
async fn probed() -> (Arc<Guard>, Ticket) {
    let options = BreakerOptions {
        failures: 1,
        ..BreakerOptions::default()
    };
    let guard = Guard::new(options, false);
    guard.admit(Share::Here).unwrap().end(Outcome::Failure);
    tokio::time::advance(options.cooldown).await;
    let probe = guard.admit(Share::Here).unwrap();
    let refused = guard.admit(Share::Here).unwrap_err();
    assert_eq!(refused.code, Code::CircuitOpen);
    (guard, probe)
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_makes_room_for_the_next() {
    let (guard, probe) = probed().await;
    drop(probe);
    assert!(guard.admit(Share::Here).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_message_before_the_answer_of_a_probe_makes_room_for_the_next() {
    let (guard, probe) = probed().await;
    let (id, manner) = (RawId::new("1"), Manner::Legacy);
    let flight = Flight::admitted(id, None, Owner::Nobody, true, manner, Some(probe));
    flight.relate(Bytes::from_static(b"{}")).unwrap();
    assert!(guard.admit(Share::Here).is_ok());
}

#[tokio::test(start_paused = true)]
async fn other_times_of_calls_do_not_close_it_and_other_limits_begin_anew() {
    let (guard, _probe) = probed().await;
    let now = guard.breaker.lock().options();
    let longer = BreakerOptions {
        probe_timeout: 2 * now.probe_timeout,
        ..now
    };
    guard.tune(longer);
    assert_eq!(guard.state(), BreakerState::HalfOpen);
    tokio::time::advance(now.probe_timeout).await;
    let next = guard
        .admit(Share::Here)
        .expect("the time of the first is over");
    tokio::time::advance(now.probe_timeout).await;
    assert!(guard.admit(Share::Here).is_err(), "the next one has longer");
    guard.tune(BreakerOptions {
        failures: 2,
        ..longer
    });
    assert_eq!(guard.state(), BreakerState::Closed);
    assert!(!next.end(Outcome::Failure), "it began before");
}
