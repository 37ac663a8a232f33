//! Models of pools that share their permits: a permit that is missed in one pool and given up in
//! another.
//!
//! Planted and seen to fail: a release that does not look at the pressure (two models), a wait that
//! ends without tending the others, no second look at the permits before a pool is written down, no
//! eviction by the pool that starves, a close that does not mind what is open, a claim that takes
//! its two permits one after the other, a permit freed in one step and promised in the next, a
//! release that keeps what it has without a word, a suspended line that is served or written
//! down, a connection left for a line that is gone.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::models::{give_up, lease, model, wait};
use super::stage::{Item, Stage, TestBody, TestTicket, pool_in};
use crate::engine::{Commons, Fairness, Handle, Wait};
use crate::sync::Arc;
use crate::sync::story::{block_on, thread};
use crate::time::Tick;

type Pool = Handle<Item, Stage>;

/// Two pools of one connection each, and one permit for both.
fn two_pools(idle_in_second: u32) -> (Arc<Commons<Item, Stage>>, Pool, Pool) {
    let commons = Arc::new(Commons::new(1));
    let first = pool_in(Some(Arc::clone(&commons)), 1, 0, Fairness::Fifo);
    let second = pool_in(
        Some(Arc::clone(&commons)),
        1,
        idle_in_second,
        Fairness::Fifo,
    );
    (commons, first, second)
}

/// Waits in line until a dial may begin, and takes its ticket.
fn until_dialled(body: &Arc<TestBody>) -> TestTicket {
    until_dialled_in(body, Box::pin(wait(body)).as_mut())
}

/// As `until_dialled`, for somebody who may be in line already.
fn until_dialled_in(
    body: &Arc<TestBody>,
    mut waiting: Pin<&mut Wait<'_, Item, Stage>>,
) -> TestTicket {
    block_on(poll_fn(|context| {
        let served = waiting.as_mut().poll(context).is_ready();
        assert!(!served, "nobody opens anything");
        match body.host().dials.lock().pop() {
            Some(ticket) => Poll::Ready(ticket),
            None => Poll::Pending,
        }
    }))
}

/// Polls a wait that stays in line.
fn poll_once(mut waiting: Pin<&mut Wait<'_, Item, Stage>>) {
    block_on(poll_fn(|context| {
        assert!(waiting.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }));
}

/// Would catch: a release loads the pressure before it publishes, the pool that starves looks at
/// what is idle before that, and its waiter sleeps beside an idle connection.
#[test]
fn release_elsewhere_passes_its_permit_on() {
    model(3, || {
        let (commons, hungry, other) = two_pools(1);
        let held = lease(&other);
        let putter = thread::spawn(move || drop(held));
        let ticket = until_dialled(hungry.body());
        putter.join().unwrap();
        assert_eq!(
            other.body().capacity().open(),
            0,
            "retired for the other pool"
        );
        assert_eq!(commons.state().open, 1);
        drop(ticket);
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: a permit comes back between the refusal and the entry in the roll.
#[test]
fn freed_permit_reaches_the_pool_that_starves() {
    model(3, || {
        let (commons, hungry, other) = two_pools(1);
        let held = lease(&other);
        let retirer = thread::spawn(move || drop(held.retire()));
        drop(until_dialled(hungry.body()));
        retirer.join().unwrap();
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: the permit is announced to a pool whose waiter leaves, and to nobody after it.
#[test]
fn permit_of_a_waiter_that_leaves_goes_to_the_next_pool() {
    model(2, || {
        let (commons, hungry, other) = two_pools(1);
        let third = pool_in(Some(Arc::clone(&commons)), 1, 0, Fairness::Fifo);
        let held = lease(&other);
        // First on the roll, so that it is the one that is told.
        let mut leaving = Box::pin(wait(third.body()));
        poll_once(leaving.as_mut());
        let waiter = thread::spawn(move || drop(until_dialled(hungry.body())));
        let retirer = thread::spawn(move || drop(held.retire()));
        drop(leaving);
        waiter.join().unwrap();
        retirer.join().unwrap();
        assert_eq!(commons.state().open, 0);
        assert_eq!(commons.state().starving, 0);
    });
}

/// Would catch: an acquire takes the idle connection that is being evicted, and both have it.
#[test]
fn eviction_and_acquire_never_share_a_connection() {
    model(3, || {
        let (commons, hungry, other) = two_pools(1);
        let taker = {
            let other = other.clone();
            thread::spawn(move || drop(other.body().take_quiet()))
        };
        drop(until_dialled(hungry.body()));
        taker.join().unwrap();
        assert_eq!(commons.state().open, 0);
        assert_eq!(other.body().idle_count(), 0);
    });
}

/// Would catch: a pool is collected while a dial for it begins, and opens a connection after.
#[test]
fn collected_pool_opens_nothing() {
    model(3, || {
        let (commons, pool, _) = two_pools(0);
        let collector = {
            let pool = pool.clone();
            thread::spawn(move || pool.body().shut_if_unused())
        };
        give_up(pool.body());
        let dialled = pool.body().host().dials.lock().pop();
        let collected = collector.join().unwrap();
        assert!(!(collected && dialled.is_some()), "a dial in a closed pool");
        drop(dialled);
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: a claim that the commons refuse lowers the pool's own capacity for a moment; a limit
/// that is lowered just then counts one too many, and hits look at the limit for good.
#[test]
fn refused_claim_is_seen_by_nobody() {
    model(3, || {
        let (_commons, hungry, _other) = two_pools(1);
        let tuner = {
            let hungry = hungry.clone();
            thread::spawn(move || drop(hungry.body().set_limit(0)))
        };
        give_up(hungry.body());
        tuner.join().unwrap();
        drop(hungry.body().host().dials.lock().pop());
        assert!(hungry.body().gate().is_quiet(), "nothing is open");
    });
}

/// Would catch: the thread that retires its connection takes the permit again, which was told to a
/// waiter of another pool and is not kept for it.
#[test]
fn promised_permit_is_not_snatched() {
    model(2, || {
        let (commons, hungry, other) = two_pools(1);
        let held = lease(&other);
        let waiter = thread::spawn(move || until_dialled(hungry.body()));
        let promised = commons.state().starving > 0;
        drop(held.retire());
        give_up(other.body());
        let snatched = other.body().host().dials.lock().pop();
        assert!(!(promised && snatched.is_some()), "it was promised");
        drop(snatched);
        drop(waiter.join().unwrap());
        assert_eq!((commons.state().open, commons.state().starving), (0, 0));
    });
}

/// Would catch: under pressure a suspended pool serves its line with what comes back, or keeps it
/// from the pool that starves.
#[test]
fn suspended_pool_gives_up_and_hands_nothing_out() {
    model(2, || {
        let (commons, hungry, other) = two_pools(1);
        let held = lease(&other);
        other.body().suspend();
        let waiter = thread::spawn(move || drop(until_dialled(hungry.body())));
        let putter = thread::spawn(move || drop(held));
        let mut suspended = Box::pin(wait(other.body()));
        poll_once(suspended.as_mut());
        waiter.join().unwrap();
        putter.join().unwrap();
        drop(suspended);
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: a pool is written down as missing a permit after it was suspended, and others retire
/// theirs for a line that is not served.
#[test]
fn suspended_pool_misses_nothing() {
    model(3, || {
        let (commons, hungry, other) = two_pools(1);
        let held = lease(&other);
        let suspender = thread::spawn({
            let hungry = hungry.clone();
            move || hungry.body().suspend()
        });
        let mut waiting = Box::pin(wait(hungry.body()));
        poll_once(waiting.as_mut());
        suspender.join().unwrap();
        assert_eq!(commons.state().starving, 0);
        drop(held);
        assert_eq!(other.body().idle_count(), 1, "nobody has a use for it");
        hungry.body().resume();
        drop(until_dialled_in(hungry.body(), waiting.as_mut()));
        drop(waiting);
        assert_eq!((commons.state().open, commons.state().starving), (0, 0));
    });
}

/// Would catch: nobody looks for something idle any more because a look found nothing, though a
/// release has kept its connection since, when another one was being given up already.
#[test]
fn second_pool_that_starves_finds_what_was_kept() {
    model(2, || {
        let commons = Arc::new(Commons::new(2));
        let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 2, idle, Fairness::Fifo);
        let (first, second) = (pool_of(0), pool_of(0));
        // Of two pools: who gives one up looks at what its own pool has besides.
        let others = [pool_of(1), pool_of(1)];
        let held = others.each_ref().map(lease);
        let mut waiting = Box::pin(wait(first.body()));
        poll_once(waiting.as_mut());
        let putters = held.map(|held| thread::spawn(move || drop(held)));
        let ticket = until_dialled(second.body());
        putters
            .into_iter()
            .for_each(|putter| putter.join().unwrap());
        poll_once(waiting.as_mut());
        let tickets = (ticket, first.body().host().dials.lock().pop());
        assert!(tickets.1.is_some(), "both have one");
        drop((waiting, tickets));
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: a release leaves its connection idle for a line where newcomers may overtake, while
/// the only one there leaves; nobody takes it, and the pool that starves looks for nothing any more.
#[test]
fn what_is_left_for_a_line_that_is_gone_goes_to_the_pool_that_starves() {
    model(3, || {
        let commons = Arc::new(Commons::new(1));
        let patient = Fairness::Eventual(Duration::from_secs(60));
        let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 1, idle, patient);
        let (hungry, other) = (pool_of(0), pool_of(1));
        let held = lease(&other);
        let mut leaving = Box::pin(wait(other.body()));
        poll_once(leaving.as_mut());
        let putter = thread::spawn(move || drop(held));
        // While it is in the releaser's hands this finds nothing idle, and does not look again.
        let mut starving = Box::pin(wait(hungry.body()));
        poll_once(starving.as_mut());
        drop(leaving);
        drop(until_dialled_in(hungry.body(), starving.as_mut()));
        putter.join().unwrap();
        drop(starving);
        assert_eq!((commons.state().open, commons.state().starving), (0, 0));
    });
}

/// Would catch: what comes back is left idle for newcomers who may overtake, and the first in line,
/// whom the pool that starves has to wait for, is overtaken for ever.
#[test]
fn nobody_overtakes_who_is_waited_for_elsewhere() {
    model(3, || {
        let commons = Arc::new(Commons::new(1));
        let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 1, idle, Fairness::Barging);
        let (hungry, other) = (pool_of(0), pool_of(1));
        let held = lease(&other);
        let mut first = Box::pin(wait(other.body()));
        poll_once(first.as_mut());
        let later = Wait::new(hungry.body(), Tick::from_millis(1), Tick::NEVER, false);
        let mut later = Box::pin(later);
        poll_once(later.as_mut());
        let putter = thread::spawn(move || drop(held));
        putter.join().unwrap();
        let overtaken = other.body().may_take() && other.body().take_idle().is_some();
        assert!(!overtaken, "the first in line is to have it");
        drop(block_on(first));
        drop(until_dialled_in(hungry.body(), later.as_mut()));
        drop(later);
        assert_eq!((commons.state().open, commons.state().starving), (0, 0));
    });
}

/// Would catch: a permit is the pool's own again before it is that of the commons, and a waiter of the
/// pool that comes in between has another pool's connection retired for nothing.
#[test]
fn permit_given_back_evicts_nobody() {
    model(3, || {
        let commons = Arc::new(Commons::new(2));
        let pool_of = || pool_in(Some(Arc::clone(&commons)), 1, 1, Fairness::Fifo);
        let (pool, other) = (pool_of(), pool_of());
        let held = lease(&pool);
        let retirer = thread::spawn(move || drop(held.retire()));
        let ticket = until_dialled(pool.body());
        retirer.join().unwrap();
        assert_eq!(other.body().idle_count(), 1, "nobody missed a permit");
        drop(ticket);
        assert_eq!(commons.state().evicted, 0);
    });
}

/// Would catch: a permit that comes back is counted as the one to come for the pool that starves,
/// a newcomer takes it, and what was kept idle for that reason is looked for by nobody.
#[test]
fn freed_permit_is_not_counted_twice() {
    model(1, || {
        let commons = Arc::new(Commons::new(2));
        let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 2, idle, Fairness::Fifo);
        let (first, second, other) = (pool_of(0), pool_of(0), pool_of(2));
        let held = [lease(&other), lease(&other)];
        let waiters =
            [first, second].map(|hungry| thread::spawn(move || until_dialled(hungry.body())));
        drop(held);
        let tickets = waiters.map(|waiter| waiter.join().unwrap());
        assert_eq!(other.body().capacity().open(), 0);
        drop(tickets);
        assert_eq!(commons.state().open, 0);
    });
}

/// Would catch: a permit that was promised before the limit was lowered is taken above it.
#[test]
fn promise_of_a_higher_limit_opens_nothing() {
    model(1, || {
        let commons = Arc::new(Commons::new(2));
        let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 2, idle, Fairness::Fifo);
        let (hungry, other) = (pool_of(0), pool_of(2));
        let (kept, freed) = (lease(&other), lease(&other));
        let mut waiting = Box::pin(wait(hungry.body()));
        poll_once(waiting.as_mut());
        drop(freed.retire());
        commons.set_limit(1);
        poll_once(waiting.as_mut());
        assert!(hungry.body().host().dials.lock().is_empty());
        drop(kept.retire());
        drop(until_dialled(hungry.body()));
        drop(waiting);
        assert_eq!((commons.state().open, commons.state().starving), (0, 0));
    });
}
