//! A waker is the code of whoever waits: it may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Wake, Waker};

use super::stage::{TestBody, pool};
use crate::engine::{Fairness, Wait};
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
        let panic = catch_unwind(AssertUnwindSafe(|| pool.body().shut()));
        assert!(panic.is_err(), "it goes on to whoever closed");
        assert_eq!(bells.map(|bell| bell.rung.load(SeqCst)), [1, 1, 1]);
        drop(waits);
        drop(held);
    }
}
