//! Facts of pools that share their permits, on one thread.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use super::stage::{Item, Stage, TestBody, pool_in};
use crate::engine::{Commons, Fairness, Wait};
use crate::sync::Ordering::SeqCst;
use crate::sync::{Arc, AtomicU32};
use crate::time::Tick;

/// Counts its wake-ups; a loud one panics at each.
struct Bell {
    rung: AtomicU32,
    loud: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        if self.loud {
            resume_unwind(Box::new("a waker in trouble"));
        }
    }
}

fn bell(loud: bool) -> Arc<Bell> {
    Arc::new(Bell {
        rung: AtomicU32::new(0),
        loud,
    })
}

fn wait(body: &Arc<TestBody>) -> Wait<'_, Item, Stage> {
    Wait::new(body, Tick::from_millis(0), Tick::NEVER, false)
}

#[test]
fn waker_that_panics_keeps_no_other_pool_from_its_permit() {
    let commons = Arc::new(Commons::new(1));
    let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 1, idle, Fairness::Fifo);
    let (first, second, other) = (pool_of(0), pool_of(0), pool_of(1));
    let held = other.body().take_quiet();
    let bells = [bell(true), bell(false)];
    let mut waits = [pin!(wait(first.body())), pin!(wait(second.body()))];
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        poll_for(wait.as_mut(), bell);
    }
    assert_eq!(commons.state().starving, 2);
    let raised = catch_unwind(AssertUnwindSafe(|| commons.set_limit(3)));
    assert!(raised.is_err(), "the first waker panics");
    assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1]);
    drop(held);
}

/// Polls a wait once, for this bell.
fn poll_for(wait: Pin<&mut Wait<'_, Item, Stage>>, bell: &Arc<Bell>) {
    let waker = Waker::from(Arc::clone(bell));
    let polled = wait.poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
}

#[test]
fn waker_that_panics_keeps_nobody_from_hearing_of_the_end_of_a_close() {
    let commons = Arc::new(Commons::new(1));
    let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 1, idle, Fairness::Fifo);
    let (hungry, closed) = (pool_of(0), pool_of(1));
    let held = closed.body().take_quiet().expect("opened by the stage");
    let mut waiting = pin!(wait(hungry.body()));
    poll_for(waiting.as_mut(), &bell(true));
    drop(closed.body().shut());
    let raised = catch_unwind(AssertUnwindSafe(|| drop(held.retire())));
    assert!(raised.is_err(), "the waker panics");
    assert_eq!(closed.body().host().drained.load(SeqCst), 1);
}

#[test]
fn waker_that_panics_keeps_nobody_from_hearing_of_a_resumption() {
    let commons = Arc::new(Commons::new(2));
    let pool = pool_in(Some(commons), 2, 1, Fairness::Fifo);
    pool.body().suspend();
    let bells = [bell(true), bell(false)];
    let mut waits = [pin!(wait(pool.body())), pin!(wait(pool.body()))];
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        poll_for(wait.as_mut(), bell);
    }
    // What is idle is for the first, the free permit for the second.
    let raised = catch_unwind(AssertUnwindSafe(|| pool.body().resume()));
    assert!(raised.is_err(), "the first waker panics");
    assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1]);
}

#[test]
fn suspended_pool_that_starved_has_nothing_retired_for_it() {
    let commons = Arc::new(Commons::new(1));
    let pool_of = |idle| pool_in(Some(Arc::clone(&commons)), 1, idle, Fairness::Fifo);
    let (hungry, other) = (pool_of(0), pool_of(1));
    let held = other.body().take_quiet().expect("opened by the stage");
    let (mut waiting, bell) = (pin!(wait(hungry.body())), bell(false));
    poll_for(waiting.as_mut(), &bell);
    assert_eq!(commons.state().starving, 1);
    hungry.body().suspend();
    assert_eq!(commons.state().starving, 0);
    drop(held);
    assert_eq!(other.body().idle_count(), 1, "nobody has a use for it");
    hungry.body().resume();
    assert_eq!(bell.rung.load(SeqCst), 1, "to look again");
    poll_for(waiting.as_mut(), &bell);
    assert_eq!(other.body().idle_count(), 0, "evicted");
}
