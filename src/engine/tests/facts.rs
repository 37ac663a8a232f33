//! Facts of the engine on one thread.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use super::stage::{Item, Stage, TestBody, TestLease, TestTicket, close, finish_dial, open, pool};
use crate::engine::{Fairness, Handle, Ticket, Wait, WaitError};
use crate::sync::Ordering::SeqCst;
use crate::sync::{Arc, AtomicU32};
use crate::time::Tick;

type Pool = Handle<Item, Stage>;
type Outcome = Result<TestLease, WaitError<u32>>;

const START: Tick = Tick::from_millis(0);

/// Counts how often a task would have been polled.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> u32 {
        self.0.load(SeqCst)
    }

    fn poll(self: &Arc<Self>, wait: Pin<&mut Wait<'_, Item, Stage>>) -> Poll<Outcome> {
        wait.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

fn wait(body: &Arc<TestBody>) -> Wait<'_, Item, Stage> {
    Wait::new(body, START, Tick::NEVER, false)
}

fn lease(pool: &Pool) -> TestLease {
    pool.body().take_quiet().expect("opened by the stage")
}

fn ticket(pool: &Pool) -> TestTicket {
    pool.body().host().dials.lock().pop().expect("asked for")
}

fn open_and_pending(pool: &Pool) -> (u32, u32) {
    (
        pool.body().capacity().open(),
        pool.body().queue().connecting,
    )
}

fn served(outcome: Poll<Outcome>) -> TestLease {
    match outcome {
        Poll::Ready(Ok(lease)) => lease,
        Poll::Ready(Err(error)) => panic!("ended with {error:?}"),
        Poll::Pending => panic!("still in line"),
    }
}

fn failed(outcome: Poll<Outcome>) -> WaitError<u32> {
    match outcome {
        Poll::Ready(Err(error)) => error,
        Poll::Ready(Ok(_)) => panic!("served"),
        Poll::Pending => panic!("still in line"),
    }
}

macro_rules! in_line {
    ($pool:ident: $($name:ident $bell:ident),*) => {
        $(
            let $bell = Arc::new(Bell::default());
            let mut $name = pin!(wait($pool.body()));
            assert!($bell.poll($name.as_mut()).is_pending());
        )*
    };
}

#[test]
fn a_put_goes_to_the_first_in_line() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    in_line!(pool: first bell, second other);
    drop(held);
    assert_eq!((bell.rung(), other.rung()), (1, 0));
    assert!(pool.body().take_quiet().is_none());
    drop(served(bell.poll(first.as_mut())));
    drop(served(other.poll(second.as_mut())));
    assert_eq!(pool.body().idle_count(), 1);
}

#[test]
fn two_puts_reach_two_waiters_that_may_be_overtaken() {
    let pool = pool(2, 2, Fairness::Barging);
    let held = [lease(&pool), lease(&pool)];
    in_line!(pool: first bell, second other);
    // Both before the first is polled.
    drop(held);
    assert_eq!(bell.rung(), 1);
    let mine = served(bell.poll(first.as_mut()));
    assert_eq!(other.rung(), 1, "one is idle, and one waits for it");
    drop(served(other.poll(second.as_mut())));
    drop(mine);
    assert_eq!(pool.body().idle_count(), 2);
}

#[test]
fn a_waiter_that_was_told_and_leaves_tells_the_next() {
    let pool = pool(1, 1, Fairness::Barging);
    let held = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut first = Box::pin(wait(pool.body()));
    assert!(bell.poll(first.as_mut()).is_pending());
    in_line!(pool: second other);
    drop(held);
    assert_eq!((bell.rung(), other.rung()), (1, 0));
    drop(first);
    assert_eq!(other.rung(), 1);
    drop(served(other.poll(second.as_mut())));
}

#[test]
fn a_waiter_that_was_told_and_is_served_otherwise_tells_the_next() {
    let pool = pool(2, 1, Fairness::Barging);
    let held = lease(&pool);
    in_line!(pool: first bell, second other);
    let dial = ticket(&pool).unless_surplus().expect("two wait");
    drop(held);
    assert_eq!((bell.rung(), other.rung()), (1, 0));
    drop(dial.serve(Item, START));
    assert_eq!(other.rung(), 1, "one is idle, and one waits for it");
    drop(served(other.poll(second.as_mut())));
    drop(served(bell.poll(first.as_mut())));
}

#[test]
fn a_waiter_that_comes_too_late_to_overtake_is_served() {
    let patience = std::time::Duration::from_millis(10);
    let pool = pool(1, 1, Fairness::Eventual(patience));
    let held = lease(&pool);
    in_line!(pool: waiting bell);
    drop(held);
    assert_eq!(bell.rung(), 1);
    // Overdue by the time that it is polled: from now on nobody overtakes, itself included.
    pool.body().host().pass_time(10);
    drop(served(bell.poll(waiting.as_mut())));
}

#[test]
fn a_newcomer_overtakes_only_where_it_may() {
    for (fairness, may) in [(Fairness::Fifo, false), (Fairness::Barging, true)] {
        let pool = pool(1, 1, fairness);
        let held = lease(&pool);
        in_line!(pool: first bell);
        drop(held);
        assert_eq!(
            pool.body().may_take() && pool.body().take_idle().is_some(),
            may
        );
        drop(served(bell.poll(first.as_mut())));
    }
}

#[test]
fn what_was_handed_to_a_waiter_that_leaves_goes_to_the_next() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut first = Box::pin(wait(pool.body()));
    assert!(bell.poll(first.as_mut()).is_pending());
    in_line!(pool: second other);
    drop(held);
    drop(first);
    drop(served(other.poll(second.as_mut())));
    assert_eq!(pool.body().idle_count(), 1);
}

#[test]
fn an_overdue_waiter_is_told_and_not_served() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut overdue = pin!(Wait::new(pool.body(), START, START, false));
    assert!(bell.poll(overdue.as_mut()).is_pending());
    drop(held);
    assert_eq!(pool.body().idle_count(), 1);
    assert_eq!(failed(bell.poll(overdue.as_mut())), WaitError::Expired);
}

#[test]
fn a_freed_permit_is_a_grant_that_a_leaving_waiter_passes_on() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    let bell = Arc::new(Bell::default());
    let mut first = Box::pin(wait(pool.body()));
    assert!(bell.poll(first.as_mut()).is_pending());
    in_line!(pool: second other);
    held.doom();
    drop(held);
    assert_eq!((bell.rung(), other.rung()), (1, 0));
    drop(first);
    assert_eq!(other.rung(), 1);
    assert!(other.poll(second.as_mut()).is_pending());
    assert_eq!(open_and_pending(&pool), (1, 1));
    finish_dial(pool.body());
    drop(served(other.poll(second.as_mut())));
}

#[test]
fn no_more_is_dialled_than_waited_for_and_allowed() {
    let pool = pool(8, 0, Fairness::Fifo);
    in_line!(pool: _first a, _second b, _third c);
    // The stage allows two at once.
    assert_eq!(open_and_pending(&pool), (2, 2));
    finish_dial(pool.body());
    assert_eq!(open_and_pending(&pool), (3, 2));
}

#[test]
fn a_dial_that_nobody_waits_for_is_skipped() {
    let pool = pool(1, 0, Fairness::Fifo);
    let bell = Arc::new(Bell::default());
    let mut waiting = Box::pin(wait(pool.body()));
    assert!(bell.poll(waiting.as_mut()).is_pending());
    drop(waiting);
    assert!(ticket(&pool).unless_surplus().is_none());
    assert_eq!(open_and_pending(&pool), (0, 0));
}

#[test]
fn a_dropped_dial_is_made_again() {
    let pool = pool(1, 0, Fairness::Fifo);
    in_line!(pool: waiting bell);
    drop(ticket(&pool));
    assert_eq!((bell.rung(), open_and_pending(&pool)), (1, (0, 0)));
    assert!(bell.poll(waiting.as_mut()).is_pending());
    finish_dial(pool.body());
    drop(served(bell.poll(waiting.as_mut())));
}

#[test]
fn a_failure_goes_to_the_first_while_others_may_be_served() {
    let pool = pool(2, 1, Fairness::Fifo);
    let held = lease(&pool);
    in_line!(pool: first bell, second other);
    let pause = ticket(&pool)
        .fail(Some(7), Tick::NEVER)
        .expect("the first to fail");
    assert_eq!(failed(bell.poll(first.as_mut())), WaitError::Failed(7));
    assert_eq!(other.rung(), 0);
    drop(held);
    drop(served(other.poll(second.as_mut())));
    assert!(pause.over().is_none(), "nobody waits");
}

#[test]
fn a_failure_goes_to_all_where_nothing_is_open() {
    let pool = pool(1, 0, Fairness::Fifo);
    in_line!(pool: first bell, second other);
    drop(ticket(&pool).fail(Some(7), Tick::NEVER));
    for (wait, bell) in [(first, bell), (second, other)] {
        assert_eq!(failed(bell.poll(wait)), WaitError::Failed(7));
    }
    assert_eq!(open_and_pending(&pool), (0, 0));
}

#[test]
fn nothing_is_dialled_during_a_pause_and_all_that_is_wanted_after_it() {
    let pool = pool(2, 0, Fairness::Fifo);
    in_line!(pool: first bell);
    let pause = ticket(&pool)
        .fail(None, Tick::NEVER)
        .expect("the first to fail");
    in_line!(pool: second other);
    assert_eq!(open_and_pending(&pool), (0, 0));
    let next = pause
        .over()
        .and_then(Ticket::unless_surplus)
        .expect("one waits");
    assert_eq!(open_and_pending(&pool), (1, 1));
    assert!(next.serve(Item, START).is_some(), "one more is wanted");
    drop(served(bell.poll(first.as_mut())));
    drop(served(other.poll(second.as_mut())));
}

#[test]
fn a_close_tells_all_and_retires_what_comes_back() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    in_line!(pool: first bell, second other);
    close(pool.body());
    for (wait, bell) in [(first, bell), (second, other)] {
        assert_eq!(failed(bell.poll(wait)), WaitError::Closed);
    }
    drop(held);
    assert_eq!(open_and_pending(&pool), (0, 0));
    let mut late = pin!(wait(pool.body()));
    assert_eq!(
        failed(Arc::new(Bell::default()).poll(late.as_mut())),
        WaitError::Closed
    );
}

#[test]
fn a_dial_that_ends_after_the_close_is_retired() {
    let pool = pool(1, 0, Fairness::Fifo);
    in_line!(pool: waiting bell);
    let ticket = ticket(&pool).unless_surplus().expect("one waits");
    close(pool.body());
    drop(ticket.serve(Item, START));
    assert_eq!(failed(bell.poll(waiting.as_mut())), WaitError::Closed);
    assert_eq!(open_and_pending(&pool), (0, 0));
}

#[test]
fn a_suspended_pool_keeps_what_comes_back_until_it_is_resumed() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    pool.body().suspend();
    in_line!(pool: waiting bell);
    drop(held);
    assert_eq!((bell.rung(), pool.body().idle_count()), (0, 1));
    pool.body().resume();
    drop(served(bell.poll(waiting.as_mut())));
}

#[test]
fn a_raised_limit_is_a_put() {
    let pool = pool(2, 0, Fairness::Fifo);
    drop(pool.body().set_limit(1));
    in_line!(pool: _first bell, _second other);
    assert_eq!(open_and_pending(&pool), (1, 1));
    drop(pool.body().set_limit(2));
    assert_eq!(bell.rung() + other.rung(), 1);
}

#[test]
fn a_late_doom_spares_the_successor() {
    let pool = pool(1, 1, Fairness::Fifo);
    let old = pool.body().tenants().next().expect("one is open");
    drop(lease(&pool).retire());
    let new = open(pool.body());
    old.doom();
    assert!(!new.is_doomed());
}

#[test]
fn the_last_of_handles_and_leases_frees_the_body() {
    let pool = pool(1, 1, Fairness::Fifo);
    let held = lease(&pool);
    let body = Arc::downgrade(pool.body());
    drop(pool);
    assert!(body.upgrade().is_some(), "a connection is out");
    drop(held);
    assert!(body.upgrade().is_none());
}

#[test]
fn a_pass_that_finds_fewer_than_it_was_told_ends() {
    // One lies in this thread's own place, where a pass does not look.
    let pool = pool(3, 2, Fairness::Fifo);
    let (mut left, mut seen) = (3, 0);
    pool.body().sweep(&mut left, 32, |lease| {
        seen += 1;
        // A retired one is not met again.
        drop(lease.retire());
        None
    });
    assert_eq!((left, seen, pool.body().idle_count()), (0, 1, 1));
}
