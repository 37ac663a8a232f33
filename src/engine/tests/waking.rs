//! A waker is the code of whoever waits: it may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use super::stage::{TestBody, pool};
use crate::engine::{Fairness, Wait, WaitError};
use crate::sync::Ordering::SeqCst;
use crate::sync::{Arc, AtomicU32};
use crate::time::Tick;

struct Bell {
    rung: AtomicU32,
    cracked: bool,
}

impl Bell {
    fn new(cracked: bool) -> Arc<Self> {
        let rung = AtomicU32::new(0);
        Arc::new(Self { rung, cracked })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, SeqCst);
        assert!(!self.cracked, "as it should");
    }
}

fn wait(body: &Arc<TestBody>) -> Wait<'_, super::stage::Item, super::stage::Stage> {
    Wait::new(body, Tick::from_millis(0), Tick::NEVER, false)
}

#[test]
fn a_waker_that_panics_leaves_nobody_of_its_batch_asleep() {
    for cracked in [
        [true, false, false],
        [false, true, true],
        [false, false, true],
    ] {
        let pool = pool(1, 1, Fairness::Fifo);
        let held = pool.body().take_quiet();
        let bells = cracked.map(Bell::new);
        let mut waits = [(); 3].map(|()| Box::pin(wait(pool.body())));
        for (wait, bell) in waits.iter_mut().zip(&bells) {
            let waker = Waker::from(Arc::clone(bell));
            let polled = pin!(wait).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        let panic = catch_unwind(AssertUnwindSafe(|| drop(pool.body().shut())));
        assert!(panic.is_err(), "it goes on to whoever closed");
        assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1, 1]);
        drop(waits);
        drop(held);
    }
}

#[test]
fn one_who_leaves_leaves_once_though_the_next_panics_when_told() {
    let pool = pool(2, 2, Fairness::Barging);
    let body = pool.body();
    let held = [body.take_quiet(), body.take_quiet()];
    let bells = [Bell::new(false), Bell::new(true)];
    let mut waits = [(); 2].map(|()| Some(Box::pin(wait(body))));
    let mut poll = |number: usize, bell: &Arc<Bell>| {
        let wait = waits[number].as_mut().expect("not dropped");
        let waker = Waker::from(Arc::clone(bell));
        let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
        polled.is_ready()
    };
    assert!(!poll(0, &bells[0]) && !poll(1, &bells[1]));
    drop(held);
    // It takes one of the two, leaves, and tells the next of the other.
    let panic = catch_unwind(AssertUnwindSafe(|| poll(0, &bells[0])));
    assert!(panic.is_err(), "it goes on to whoever polled");
    waits[0] = None;
    assert_eq!(body.queue().waiting, 1);
    let waker = Waker::from(Bell::new(false));
    let second = waits[1].as_mut().expect("not dropped");
    let served = second.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(served.is_ready());
    drop(served);
    waits[1] = None;
    assert_eq!(body.queue().waiting, 0);
}

type InLine<'a> = Pin<Box<Wait<'a, super::stage::Item, super::stage::Stage>>>;

/// Polls a wait; tells how it ended, if it did.
fn poll_new(mut wait: InLine<'_>) -> (Poll<Result<(), WaitError<u32>>>, InLine<'_>) {
    let waker = Waker::from(Bell::new(false));
    let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
    (polled.map(|end| end.map(|_| ())), wait)
}

#[test]
fn one_who_was_first_is_in_line_again_though_the_line_is_full() {
    let pool = pool(1, 1, Fairness::Fifo);
    let body = pool.body();
    drop(body.set_line(1, 1, Fairness::Fifo));
    let held = body.take_quiet();
    let (first, first_in_line) = poll_new(Box::pin(wait(body)));
    let (newcomer, _refused) = poll_new(Box::pin(wait(body)));
    let again = Wait::new(body, Tick::from_millis(0), Tick::NEVER, true);
    let (again, in_front) = poll_new(Box::pin(again));
    assert_eq!(first, Poll::Pending);
    assert_eq!(newcomer, Poll::Ready(Err(WaitError::Full)));
    assert_eq!(again, Poll::Pending);
    drop((first_in_line, in_front, held));
}
