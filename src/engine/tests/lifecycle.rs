//! Models of what changes a pool while it is used: limits, generations, sweeps, time, settings and
//! the close. Each says which bug it would catch.
//!
//! Those marked "planted" were seen to: `scripts/plant` puts that bug into a copy of the source and
//! expects this very model to fail.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::models::{Pool, acquire, assert_all_idle, give_up, lease, model, wait};
use super::stage::{
    Item, TestBody, TestLease, TestTicket, close, finish_dial, open, pool, pool_ordered,
};
use crate::engine::gate::GateWord;
use crate::engine::{Fairness, IdleOrder, Queue, Wait, WaitError};
use crate::sync::Arc;
use crate::sync::story::{block_on, thread};
use crate::time::Tick;

const START: Tick = Tick::from_millis(0);

fn on_a_thread(pool: &Pool, deed: impl FnOnce(&Pool) + 'static) -> thread::JoinHandle<()> {
    let pool = pool.clone();
    thread::spawn(move || deed(&pool))
}

/// Waits, and finishes the dials that are asked for meanwhile.
fn wait_dialling(body: &Arc<TestBody>) -> Result<TestLease, WaitError<u32>> {
    let mut waiting = Box::pin(wait(body));
    block_on(poll_fn(|context| {
        let polled = waiting.as_mut().poll(context);
        finish_dial(body);
        polled
    }))
}

fn acquire_dialling(body: &Arc<TestBody>) -> TestLease {
    wait_dialling(body).expect("dialled")
}

fn asked(pool: &Pool) -> TestTicket {
    let ticket = pool.body().host().dials.lock().pop();
    ticket.expect("asked for")
}

/// Keeps what it looks at.
fn keep(lease: TestLease) -> Option<TestLease> {
    Some(lease)
}

fn retire(lease: TestLease) -> Option<TestLease> {
    drop(lease.retire());
    None
}

/// Would catch: a limit is raised and whoever waits for a permit never hears of it. Planted.
#[test]
fn raised_limit_reaches_who_waits() {
    model(3, || {
        let pool = pool(2, 1, Fairness::Fifo);
        drop(pool.body().set_limit(1));
        let held = lease(&pool);
        let raising = on_a_thread(&pool, |pool| drop(pool.body().set_limit(2)));
        drop(acquire_dialling(pool.body()));
        raising.join().unwrap();
        drop(held);
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: whoever opens one looked before a limit was lowered and takes its permit after, and one
/// more is open than may be. Planted.
#[test]
fn limit_lowered_while_a_permit_is_claimed() {
    model(3, || {
        let pool = pool(2, 1, Fairness::Fifo);
        let claiming = {
            let pool = pool.clone();
            thread::spawn(move || TestBody::claim_permit(pool.body()))
        };
        drop(pool.body().set_limit(1));
        let before = pool.body().capacity().open();
        let permit = claiming.join().unwrap();
        let after = pool.body().capacity().open();
        assert!(after <= before.max(1), "opened above the limit");
        drop(permit);
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: two handles go at once and each takes the other for the last, so that nobody closes the
/// pool (the checker reports the leak), or both do. Planted.
#[test]
fn last_two_handles_close_the_pool_once() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let going = on_a_thread(&pool, |_| ());
        drop(pool);
        going.join().unwrap();
    });
}

/// Would catch: the gate's word for "more are open than may be" outlives its reason, so that every
/// release is slow for good, or is missing, so that what is one too many stays. Planted.
#[test]
fn limit_lowered_while_one_is_retired_leaves_the_gate_right() {
    model(3, || {
        let pool = pool(2, 2, Fairness::Fifo);
        let held = lease(&pool);
        held.doom();
        let retiring = thread::spawn(move || drop(held));
        drop(pool.body().set_limit(1));
        retiring.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: two limits at once, of which the gate follows the first and the capacity the last.
#[test]
fn two_limits_at_once_leave_the_gate_right() {
    model(3, || {
        let pool = pool(2, 2, Fairness::Fifo);
        let lowering = on_a_thread(&pool, |pool| drop(pool.body().set_limit(1)));
        drop(pool.body().set_limit(2));
        lowering.join().unwrap();
        let body = pool.body();
        assert_eq!(body.gate().has(GateWord::INSPECT), body.is_over_limit());
    });
}

/// Would catch: a new limit that is stored over a close, after which dials are made again. Planted.
#[test]
fn limit_set_during_a_close_opens_nothing() {
    model(3, || {
        let pool = pool(2, 1, Fairness::Fifo);
        let raising = on_a_thread(&pool, |pool| drop(pool.body().set_limit(2)));
        close(pool.body());
        raising.join().unwrap();
        assert!(pool.body().capacity().is_closed());
        assert_eq!(acquire(pool.body()).err(), Some(WaitError::Closed));
        assert_eq!(pool.body().capacity().open(), 0);
    });
}

/// Would catch: a dial that ends while the pool is closed leaves its connection open, or its waiter
/// asleep.
#[test]
fn close_against_create() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = asked(&pool);
        let dialling = thread::spawn(move || drop(ticket.serve(Item, START)));
        close(pool.body());
        dialling.join().unwrap();
        assert_eq!(pool.body().capacity().open(), 0);
        assert_eq!(pool.body().queue(), Queue::default());
    });
}

/// Would catch: a connection that is out while its generation ends comes back as one of the new.
#[test]
fn eviction_against_acquire() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let using = on_a_thread(&pool, |pool| drop(pool.body().take_quiet()));
        pool.body().evict_all();
        using.join().unwrap();
        if let Some(left) = pool.body().take_idle() {
            assert!(left.is_doomed());
            drop(left.retire());
        }
        assert_eq!(pool.body().capacity().open(), 0);
    });
}

/// Would catch: the mark that was meant for an evicted connection hits the one that took its slot,
/// or one that was opened for the old generation goes without. Planted.
#[test]
fn eviction_against_replacement() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let replacing = on_a_thread(&pool, |pool| {
            drop(lease(pool).retire());
            std::mem::forget(open(pool.body()));
        });
        pool.body().evict_all();
        replacing.join().unwrap();
        let body = pool.body();
        let tenant = body.tenants().next().expect("one is open");
        let new = body.lease(crate::engine::slot::SlotId::new(tenant.number()));
        assert_eq!(new.is_doomed(), new.generation() != body.generation());
        drop(new.retire());
    });
}

/// Would catch: maintenance looks at the only idle connection while a caller finds nothing and goes
/// to sleep, and puts it back beside the caller. Planted.
#[test]
fn look_at_the_only_idle_one_against_acquire() {
    for order in [IdleOrder::Fifo, IdleOrder::Lifo] {
        model(3, move || {
            let pool = pool_ordered(order, 1, 1, Fairness::Fifo);
            // Two left of which one is looked at: the pass is not over.
            let looking = on_a_thread(&pool, |pool| pool.body().sweep(&mut 2, 1, keep));
            drop(acquire(pool.body()).expect("served"));
            looking.join().unwrap();
            assert_all_idle(&pool, 1);
        });
    }
}

/// Would catch: the end of a pass moves connections from the pile of those seen to the pile of those
/// to be taken, and a caller who finds both empty sleeps on.
#[test]
fn end_of_a_pass_against_acquire() {
    model(3, || {
        let pool = pool_ordered(IdleOrder::Lifo, 1, 1, Fairness::Fifo);
        pool.body().sweep(&mut 2, 1, keep);
        let ending = on_a_thread(&pool, |pool| pool.body().sweep(&mut 0, 1, keep));
        drop(acquire(pool.body()).expect("served"));
        ending.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: an idle connection is reaped, and whoever had hoped for it never hears of its permit.
#[test]
fn reap_against_acquire() {
    model(3, || {
        let pool = pool_ordered(IdleOrder::Fifo, 1, 1, Fairness::Fifo);
        let reaping = on_a_thread(&pool, |pool| pool.body().sweep(&mut 1, 1, retire));
        drop(acquire_dialling(pool.body()));
        reaping.join().unwrap();
        // What was idle was reaped before it was acquired, or after it came back.
        let body = pool.body();
        assert_eq!(body.capacity().open(), body.idle_count());
        assert_eq!(body.queue(), Queue::default());
    });
}

/// Would catch: what a sweep has in hand while the pool closes is put back into a closed pool, or the
/// caller beside them is told nothing.
#[test]
fn reap_against_acquire_against_close() {
    for look in [keep, retire] {
        model(2, move || {
            let pool = pool_ordered(IdleOrder::Fifo, 1, 1, Fairness::Fifo);
            let reaping = on_a_thread(&pool, move |pool| pool.body().sweep(&mut 1, 1, look));
            let closing = on_a_thread(&pool, |pool| close(pool.body()));
            match acquire(pool.body()) {
                Ok(lease) => drop(lease),
                Err(error) => assert_eq!(error, WaitError::Closed),
            }
            reaping.join().unwrap();
            closing.join().unwrap();
            // Dials that were asked for after the close gave up theirs.
            drop(std::mem::take(&mut *pool.body().host().dials.lock()));
            assert_eq!(pool.body().capacity().open(), 0);
            assert_eq!(pool.body().queue(), Queue::default());
        });
    }
}

/// Would catch: a connection is handed to a waiter whose time is over, or lost between the verdict
/// and its leaving, and the one behind it sleeps on. Planted.
#[test]
fn expiry_against_hand_off() {
    model(2, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putting = thread::spawn(move || drop(held));
        let behind = on_a_thread(&pool, |pool| {
            drop(acquire(pool.body()).expect("never overdue"));
        });
        let mut overdue = Box::pin(Wait::new(pool.body(), START, Tick::from_millis(5), false));
        let polled = block_on(poll_fn(|context| {
            Poll::Ready(overdue.as_mut().poll(context))
        }));
        pool.body().host().pass_time(5);
        match polled {
            Poll::Ready(Ok(lease)) => drop(lease),
            Poll::Ready(Err(error)) => assert_eq!(error, WaitError::Expired),
            // As a timer does that ends the wait.
            Poll::Pending => {}
        }
        drop(overdue);
        putting.join().unwrap();
        behind.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a waiter arms no timer because the clock ticks, and nobody polls it when that clock
/// stops. Planted.
#[test]
fn last_tick_rouses_whoever_counts_on_the_next() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let stopping = on_a_thread(&pool, |pool| {
            pool.body().tick().store(Tick::NEVER);
            pool.body().rouse();
        });
        let mut waiting = Box::pin(wait(pool.body()));
        block_on(poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending());
            match pool.body().tick().load() {
                Tick::NEVER => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        drop(waiting);
        stopping.join().unwrap();
        drop(held);
    });
}

/// Would catch: a connection is put while the pool is suspended, and the resume looks a moment too
/// early to find it for the one that waits.
#[test]
fn put_under_a_suspension_is_not_forgotten() {
    model(2, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putting = thread::spawn(move || drop(held));
        let pausing = on_a_thread(&pool, |pool| {
            pool.body().suspend();
            pool.body().resume();
        });
        drop(acquire(pool.body()).expect("served"));
        putting.join().unwrap();
        pausing.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a put follows one rule of fairness and a waiter another: it is told of nothing, or
/// told and not given what it was told of.
#[test]
fn change_of_fairness_against_put_and_wait() {
    let eventual = Fairness::Eventual(Duration::from_millis(1));
    for (before, after) in [
        (Fairness::Fifo, Fairness::Barging),
        (Fairness::Barging, Fairness::Fifo),
        (eventual, Fairness::Fifo),
    ] {
        model(2, move || {
            let pool = pool(1, 1, before);
            let held = lease(&pool);
            let putting = thread::spawn(move || drop(held));
            let changing = on_a_thread(&pool, move |pool| {
                drop(pool.body().set_line(2, u32::MAX, after));
                pool.body().settle();
            });
            drop(acquire(pool.body()).expect("served"));
            putting.join().unwrap();
            changing.join().unwrap();
            assert_all_idle(&pool, 1);
        });
    }
}

/// Would catch: a pause of the dials ends while somebody comes who counts on its end.
#[test]
fn end_of_a_pause_reaches_who_waits() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = asked(&pool);
        let failing = thread::spawn(move || {
            let pause = ticket.fail(None, Tick::NEVER).expect("the first to fail");
            if let Some(ticket) = pause.over().and_then(TestTicket::unless_surplus) {
                drop(ticket.serve(Item, START));
            }
        });
        drop(acquire_dialling(pool.body()));
        failing.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: the failure of a dial is written to a place in line that its waiter reads or leaves just then.
#[test]
fn failure_reaches_who_waits_beside_one_who_gives_up() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = asked(&pool);
        let failing = thread::spawn(move || {
            let pause = ticket.fail(Some(7), Tick::NEVER);
            let over = pause.and_then(|pause| pause.over());
            if let Some(ticket) = over.and_then(TestTicket::unless_surplus) {
                drop(ticket.serve(Item, START));
            }
        });
        let leaving = on_a_thread(&pool, |pool| {
            give_up(pool.body());
            finish_dial(pool.body());
        });
        let end = wait_dialling(pool.body());
        assert!(
            matches!(end, Ok(_) | Err(WaitError::Failed(7))),
            "neither served nor told"
        );
        drop(end);
        failing.join().unwrap();
        leaving.join().unwrap();
        finish_dial(pool.body());
        let open = pool.body().capacity().open();
        assert_all_idle(&pool, open);
    });
}
