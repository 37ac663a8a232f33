//! Facts of pools that share their permits, on one thread.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
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
        let waker = Waker::from(Arc::clone(bell));
        let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Pending));
    }
    assert_eq!(commons.state().starving, 2);
    let raised = catch_unwind(AssertUnwindSafe(|| commons.set_limit(3)));
    assert!(raised.is_err(), "the first waker panics");
    assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1]);
    drop(held);
}
