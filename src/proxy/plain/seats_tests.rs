//! Who makes room for whom.

use std::pin::pin;

use futures::poll;

use super::Seats;

#[tokio::test]
async fn who_waits_is_not_forgotten_when_another_one_got_the_seat_that_was_left_for_him() {
    let seats = Seats::new(1);
    let taken = seats.now().unwrap();
    assert!(!seats.are_wanted());
    let mut first = pin!(seats.soon());
    assert!(poll!(first.as_mut()).is_pending());
    assert!(seats.take_one() && !seats.are_wanted() && !seats.take_one());
    {
        let mut second = pin!(seats.soon());
        assert!(poll!(second.as_mut()).is_pending());
        drop(taken);
        assert!(first.await.is_some());
        assert!(seats.are_wanted() && seats.take_one());
    }
    assert!(!seats.are_wanted(), "nobody waits any more");
}

#[tokio::test]
async fn who_is_too_many_after_a_reload_is_asked_to_make_room() {
    let seats = Seats::new(3);
    let mut taken: Vec<_> = (0..3).map(|_| seats.now().unwrap()).collect();
    let mut limited = pin!(seats.limit(1));
    assert!(poll!(limited.as_mut()).is_pending());
    assert!(seats.take_one() && seats.take_one() && !seats.take_one());
    let mut waits = pin!(seats.soon());
    assert!(poll!(waits.as_mut()).is_pending());
    assert!(seats.take_one());
    taken.drain(1..);
    limited.await;
    assert!(
        poll!(waits.as_mut()).is_pending(),
        "one is there, and one may be"
    );
    drop(taken);
    assert!(waits.await.is_some());
}
