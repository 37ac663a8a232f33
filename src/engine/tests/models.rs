//! One model per race of the engine; each says which bug it would catch.

use std::task::Poll;

use super::stage::{Item, Stage, TestBody, TestLease, close, finish_dial, pool, pool_ordered};
use crate::engine::{Fairness, Handle, IdleOrder, Queue, Wait, WaitError};
use crate::sync::Arc;
use crate::sync::story::{Builder, block_on, thread};
use crate::time::Tick;

pub(super) type Pool = Handle<Item, Stage>;

/// Runs a story in every order that has at most so many preemptions: three for two threads, two for
/// three, one where three threads take many steps.
pub(super) fn model(preemptions: usize, story: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(story);
}

pub(super) fn wait(body: &Arc<TestBody>) -> Wait<'_, Item, Stage> {
    Wait::new(body, Tick::from_millis(0), Tick::NEVER, false)
}

pub(super) fn acquire(body: &Arc<TestBody>) -> Result<TestLease, WaitError<u32>> {
    match body.take_quiet() {
        Some(lease) => Ok(lease),
        None => block_on(wait(body)),
    }
}

/// Polls a wait once and drops it, wherever it is.
pub(super) fn give_up(body: &Arc<TestBody>) {
    let mut waiting = Box::pin(wait(body));
    block_on(std::future::poll_fn(|context| {
        let _ = waiting.as_mut().poll(context);
        Poll::Ready(())
    }));
}

pub(super) fn lease(pool: &Pool) -> TestLease {
    pool.body().take_quiet().expect("opened by the stage")
}

pub(super) fn assert_all_idle(pool: &Pool, count: u32) {
    assert_eq!(pool.body().capacity().open(), count);
    assert_eq!(pool.body().idle_count(), count);
    assert_eq!(pool.body().queue(), Queue::default());
    assert!(pool.body().gate().is_quiet());
}

/// Would catch: `put` finds no waiter, the waiter finds no connection, and both go to sleep.
#[test]
fn put_and_wait_never_miss_each_other() {
    put_and_wait(IdleOrder::Affine);
}

/// Would catch: the same where a put goes to the part that all threads share.
#[test]
fn put_afar_and_wait_never_miss_each_other() {
    put_and_wait(IdleOrder::Lifo);
}

fn put_and_wait(order: IdleOrder) {
    model(3, move || {
        let pool = pool_ordered(order, 1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        drop(acquire(pool.body()).expect("served"));
        putter.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a lowered limit is passed by a dial, or a connection beyond it stays for good.
#[test]
fn lowered_limit_against_create() {
    model(3, || {
        let pool = pool(2, 1, Fairness::Fifo);
        let held = lease(&pool);
        give_up(pool.body());
        let ticket = pool.body().host().dials.lock().pop().expect("asked for");
        let dialling = thread::spawn(move || drop(ticket.serve(Item, Tick::from_millis(0))));
        drop(pool.body().set_limit(1));
        drop(held);
        dialling.join().unwrap();
        while pool.body().is_over_limit() {
            drop(
                pool.body()
                    .take_idle()
                    .expect("something to retire")
                    .retire(),
            );
        }
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a connection dialled before an eviction is taken for one of the new generation.
#[test]
fn eviction_against_create() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = pool.body().host().dials.lock().pop().expect("asked for");
        let old = ticket.generation();
        let dialling = thread::spawn(move || drop(ticket.serve(Item, Tick::from_millis(0))));
        pool.body().evict_all();
        dialling.join().unwrap();
        if let Some(left) = pool.body().take_idle() {
            assert!(left.is_doomed() || left.generation() != old);
            drop(left.retire());
        }
    });
}

/// Would catch: a suspension that begins while a connection is put hands it out, or a resume
/// leaves the waiter asleep.
#[test]
fn resume_serves_whoever_waits() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        pool.body().suspend();
        let resuming = {
            let pool = pool.clone();
            thread::spawn(move || pool.body().resume())
        };
        drop(acquire(pool.body()).expect("served"));
        resuming.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a connection handed to a waiter that gives up is lost, or its successor sleeps on.
#[test]
fn cancel_after_hand_off_passes_it_on() {
    model(2, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        let quitter = {
            let pool = pool.clone();
            thread::spawn(move || give_up(pool.body()))
        };
        drop(acquire(pool.body()).expect("served"));
        putter.join().unwrap();
        quitter.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: two puts both serve the first waiter, or the second waiter is forgotten.
#[test]
fn two_puts_serve_two_waiters() {
    model(2, || {
        let pool = pool(2, 2, Fairness::Fifo);
        let held = [lease(&pool), lease(&pool)];
        let [first, second] = held.map(|held| thread::spawn(move || drop(held)));
        let mine = acquire(pool.body()).expect("served");
        let other = acquire(pool.body()).expect("served");
        first.join().unwrap();
        second.join().unwrap();
        drop((mine, other));
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: who leaves the line, served or not, takes from the gate that others are in it. Planted.
#[test]
fn line_of_two_is_served_by_two_puts() {
    model(2, || {
        let pool = pool(2, 2, Fairness::Fifo);
        let held = [lease(&pool), lease(&pool)];
        let putter = thread::spawn(move || drop(held));
        let mut waits = [Box::pin(wait(pool.body())), Box::pin(wait(pool.body()))];
        let mut served = [None, None];
        block_on(std::future::poll_fn(|context| {
            for (wait, served) in waits.iter_mut().zip(&mut served) {
                if served.is_none()
                    && let Poll::Ready(lease) = wait.as_mut().poll(context)
                {
                    *served = Some(lease.expect("served"));
                }
            }
            match served.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        putter.join().unwrap();
        drop(served);
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: a put that goes to a line which has just emptied keeps the connection.
#[test]
fn last_waiter_leaving_does_not_strand_a_put() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        give_up(pool.body());
        putter.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a connection put while the pool closes stays open, or a waiter is never told.
#[test]
fn close_put_and_acquire_leave_nothing_open() {
    model(2, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        let closer = {
            let pool = pool.clone();
            thread::spawn(move || close(pool.body()))
        };
        match acquire(pool.body()) {
            Ok(lease) => drop(lease),
            Err(error) => assert_eq!(error, WaitError::Closed),
        }
        putter.join().unwrap();
        closer.join().unwrap();
        assert_eq!(pool.body().capacity().open(), 0);
        assert_eq!(pool.body().queue(), Queue::default());
    });
}

/// Would catch: a failed dial keeps its permit, or the waiter that has to dial next sleeps on.
#[test]
fn failed_open_frees_its_capacity_for_the_next() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = pool
            .body()
            .host()
            .dials
            .lock()
            .pop()
            .expect("asked for by the first");
        let failing = thread::spawn(move || drop(ticket));
        let mut waiting = Box::pin(wait(pool.body()));
        let lease = block_on(std::future::poll_fn(|context| {
            let polled = waiting.as_mut().poll(context);
            finish_dial(pool.body());
            polled
        }));
        drop(lease.expect("dialled"));
        failing.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a connection is retired, its permit is free, and the one in line never hears of it.
#[test]
fn freed_permit_wakes_a_sleeping_waiter() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        held.doom();
        let retiring = thread::spawn(move || drop(held));
        let mut waiting = Box::pin(wait(pool.body()));
        let lease = block_on(std::future::poll_fn(|context| {
            let polled = waiting.as_mut().poll(context);
            finish_dial(pool.body());
            polled
        }));
        drop(lease.expect("dialled"));
        retiring.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: a dial is skipped because nobody waits, while somebody comes who counts on it.
#[test]
fn skipped_dial_is_made_again_for_a_new_waiter() {
    model(3, || {
        let pool = pool(1, 0, Fairness::Fifo);
        give_up(pool.body());
        let ticket = pool
            .body()
            .host()
            .dials
            .lock()
            .pop()
            .expect("asked for by the first");
        let skipping = thread::spawn(move || {
            if let Some(ticket) = ticket.unless_surplus() {
                drop(ticket.serve(Item, Tick::from_millis(0)));
            }
        });
        let mut waiting = Box::pin(wait(pool.body()));
        let lease = block_on(std::future::poll_fn(|context| {
            let polled = waiting.as_mut().poll(context);
            finish_dial(pool.body());
            polled
        }));
        drop(lease.expect("dialled"));
        skipping.join().unwrap();
        assert_all_idle(&pool, 1);
    });
}

/// Would catch: the last handle and the last connection free the body while the other still looks
/// at it, or neither frees it (the checker reports the leak).
#[test]
fn last_handle_against_guard_on_another_thread() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let holder = thread::spawn(move || drop(held));
        drop(pool);
        holder.join().unwrap();
    });
}

/// Would catch: a connection handed to the only waiter frees the body under the one that hands it.
#[test]
fn hand_off_outlives_the_receiver() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let putter = thread::spawn(move || drop(held));
        match acquire(pool.body()) {
            Ok(lease) => lease.doom(),
            Err(error) => panic!("not closed: {error:?}"),
        }
        drop(pool);
        putter.join().unwrap();
    });
}

/// Would catch: two dials for one waiter both think that the other serves it.
#[test]
fn two_dials_and_a_put_serve_whoever_waits() {
    model(3, || {
        let pool = pool(2, 1, Fairness::Fifo);
        let held = lease(&pool);
        give_up(pool.body());
        let ticket = pool.body().host().dials.lock().pop().expect("asked for");
        let dialling = thread::spawn(move || {
            drop(held);
            drop(ticket.serve(Item, Tick::from_millis(0)));
        });
        drop(acquire(pool.body()).expect("served"));
        dialling.join().unwrap();
        assert_all_idle(&pool, 2);
    });
}

/// Would catch: a note taken of a lease undoes the doom that comes at the same time.
#[test]
fn a_note_and_a_doom_lose_neither() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let holder = thread::spawn(move || {
            held.note(true);
            held.note(false);
            held
        });
        pool.body().evict_all();
        let held = holder.join().unwrap();
        assert!(held.is_doomed() && !held.is_noted());
        drop(held);
        assert_eq!(pool.body().capacity().open(), 0);
    });
}

/// Would catch: whoever sees the note of a lease takes the time of its last return for the time
/// since which it is held.
#[test]
fn a_note_that_is_seen_comes_with_its_stamp() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = lease(&pool);
        let holder = thread::spawn(move || {
            held.stamp(Tick::from_millis(5));
            held.note(true);
            held
        });
        for tenant in pool.body().tenants() {
            assert!(!tenant.is_noted() || tenant.since() == Tick::from_millis(5));
        }
        let held = holder.join().unwrap();
        held.note(false);
        drop(held);
        assert_all_idle(&pool, 1);
    });
}
