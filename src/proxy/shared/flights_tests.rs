//! The requests that a shared child has.

use tokio::time::Instant;

use super::flights::{Flights, Refused};
use super::tests::{SILENCE, begun, flight, limits};
use crate::proxy::call::Owner;
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::Timeouts;

#[test]
fn an_id_is_not_used_again_for_the_next_request() {
    let flights = Flights::new(4, limits());
    let first = flights.insert(&flight("1", 1), begun()).unwrap();
    assert!(flights.take(first).is_some());
    let second = flights.insert(&flight("1", 1), begun()).unwrap();
    assert_ne!(first, second);
    assert!(flights.take(first).is_none(), "a late answer finds nobody");
    assert!(flights.take(second).is_some());
}

#[test]
fn a_child_at_its_limit_takes_no_more() {
    let flights = Flights::new(2, limits());
    let first = flights.insert(&flight("1", 1), begun()).unwrap();
    flights.insert(&flight("2", 1), begun()).unwrap();
    assert!(matches!(
        flights.insert(&flight("3", 1), begun()),
        Err(Refused::Full)
    ));
    flights.take(first);
    assert!(flights.insert(&flight("3", 1), begun()).is_ok());
}

#[test]
fn a_cancellation_finds_only_the_request_of_its_sender() {
    let flights = Flights::new(4, limits());
    let mine = flights.insert(&flight("1", 1), begun()).unwrap();
    flights.insert(&flight("1", 2), begun()).unwrap();
    flights.insert(&flight("\"1\"", 1), begun()).unwrap();
    let one = RequestId::Integer(1);
    assert!(flights.take_owned(Owner::Session(3), &one).is_empty());
    let taken = flights.take_owned(Owner::Session(1), &one);
    assert_eq!((taken.len(), taken[0].0), (1, mine));
    assert!(flights.take_owned(Owner::Session(1), &one).is_empty());
    assert_eq!(flights.len(), 2);
    flights.insert(&flight("1", 2), begun()).unwrap();
    let both = flights.take_owned(Owner::Session(2), &one);
    assert_eq!((both.len(), flights.len()), (2, 1), "of an id used twice");
}

#[test]
fn what_ends_a_table_stays_its_first_reason() {
    let flights = Flights::new(2, limits());
    flights.end(Fault::new(Code::Closing, "first"));
    flights.end(Fault::new(Code::ChildDied, "second"));
    assert!(
        matches!(flights.insert(&flight("1", 1), begun()), Err(Refused::Over(fault)) if fault.message == "first")
    );
}

#[tokio::test(start_paused = true)]
async fn times_that_change_count_for_the_next_request_of_a_child_that_runs() {
    let flights = Flights::new(4, limits());
    let before = flights.insert(&flight("1", 1), begun()).unwrap();
    let longer = Timeouts {
        idle: 2 * SILENCE,
        ..limits()
    };
    flights.tune(4, longer);
    let after = flights.insert(&flight("2", 1), begun()).unwrap();
    for own in [before, after] {
        flights.renew(own, Instant::now()).unwrap();
    }
    for (own, silence) in [(before, SILENCE), (after, 2 * SILENCE)] {
        let over = flights.take_expired(Instant::now() + silence);
        assert_eq!((over.len(), over[0].0), (1, own));
    }
}

/// The window is between a look at what a child has and the news that it takes nothing more.
#[test]
fn a_child_that_leaves_ends_no_request_that_came_in_time() {
    let flights = Flights::new(4, limits());
    let leaving = || Fault::new(Code::ChildDied, "it leaves");
    let own = flights.insert(&flight("1", 1), begun()).unwrap();
    assert!(!flights.close_idle(leaving()), "it has a request");
    assert!(flights.insert(&flight("2", 1), begun()).is_ok());
    flights.take(own);
    assert!(!flights.close_idle(leaving()));
    let left = flights.take_expired(begun().expires());
    assert_eq!(left.len(), 1);
    assert!(flights.close_idle(leaving()));
    let refused = flights.insert(&flight("3", 1), begun());
    assert!(matches!(refused, Err(Refused::Over(_))));
}
