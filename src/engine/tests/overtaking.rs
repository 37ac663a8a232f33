//! Models of a line where newcomers may overtake: whoever is first is told, not served.

use super::models::{acquire, assert_all_idle, give_up, lease, model, wait};
use super::stage::{Item, pool};
use crate::engine::{Fairness, Queue, Wait};
use crate::sync::story::{block_on, thread};
use crate::time::Tick;

/// Would catch: the same where newcomers may overtake and the first in line is only told.
#[test]
fn put_and_nudge_never_miss_each_other() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Barging);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        drop(acquire(pool.body()).expect("served"));
        putter.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: of two waiters only the first is told of two puts, and leaves without telling the
/// second.
#[test]
fn two_puts_nudge_two_waiters() {
    model(1, || {
        let pool = pool(2, 2, Fairness::Barging);
        let held = [lease(&pool), lease(&pool)];
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || acquire(pool.body()).expect("served"))
        };
        let putter = thread::spawn(move || drop(held));
        // Both are held until both are served: a return would be news again.
        let mine = acquire(pool.body()).expect("served");
        let other = waiter.join().unwrap();
        putter.join().unwrap();
        drop((mine, other));
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: the first in line is told of a put, is served by a dial, and keeps the news from
/// the second.
#[test]
fn nudged_waiter_served_by_a_dial_tells_the_next() {
    model(1, || {
        let pool = pool(2, 1, Fairness::Barging);
        let held = lease(&pool);
        give_up(pool.body());
        let ticket = pool.body().host().dials.lock().pop().expect("asked for");
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || acquire(pool.body()).expect("served"))
        };
        let putter = thread::spawn(move || {
            drop(held);
            drop(ticket.serve(Item, Tick::from_millis(0)));
        });
        // Both are held until both are served: a return would be news again.
        let mine = acquire(pool.body()).expect("served");
        let other = waiter.join().unwrap();
        putter.join().unwrap();
        drop((mine, other));
        assert_eq!(pool.body().queue(), Queue::default());
    });
}

/// Would catch: the first in line is told of two puts and takes one; the one behind it has waited for so
/// long that nobody may overtake it, and so nobody tells it of the other. Planted.
#[test]
fn overdue_waiter_behind_a_newer_one_is_told_of_what_is_left() {
    model(1, || {
        let eventual = Fairness::Eventual(std::time::Duration::from_millis(1));
        let pool = pool(2, 2, eventual);
        let held = [lease(&pool), lease(&pool)];
        pool.body().host().pass_time(5);
        let overdue = {
            let pool = pool.clone();
            thread::spawn(move || block_on(wait(pool.body())).expect("served"))
        };
        let putter = thread::spawn(move || drop(held));
        // As one that was served before and got nothing of use.
        let now = Tick::from_millis(5);
        let newer = Wait::new(pool.body(), now, Tick::NEVER, true);
        // Both are held until both are served: a return would be news again.
        let mine = block_on(newer).expect("served");
        let other = overdue.join().unwrap();
        putter.join().unwrap();
        drop((mine, other));
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: the only waiter is told of a put and finds that nobody may overtake any more.
#[test]
fn overdue_waiter_is_handed_what_it_was_told_of() {
    model(3, || {
        let pool = pool(
            1,
            1,
            Fairness::Eventual(std::time::Duration::from_millis(1)),
        );
        let held = lease(&pool);
        let putter = thread::spawn(move || {
            drop(held);
        });
        let aging = {
            let pool = pool.clone();
            thread::spawn(move || pool.body().host().pass_time(5))
        };
        drop(acquire(pool.body()).expect("served"));
        putter.join().unwrap();
        aging.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}
