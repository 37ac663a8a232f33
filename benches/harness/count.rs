//! Count: a fixed number of hits or of hand-offs and nothing else, to be counted by an instrument outside.
//!
//! Promise: nothing but the cycles differs between two runs with different counts, so that the
//! difference of two readings divided by the difference of the counts is one cycle.
//! Cost: the cycles.

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::Subject;

/// Runs `cycles` hit cycles of what `build` makes, alone on a current-thread runtime.
///
/// # Panics
///
/// If the machine has no descriptor left for a runtime.
pub fn count<S: Subject>(cycles: usize, build: impl Fn(usize) -> S) {
    runtime().block_on(async {
        let subject = build(16);
        drop(subject.acquire().await);
        subject.cycle(cycles).await;
    });
}

/// Hands the only object of what `build` makes to and fro between two tasks, `cycles` times.
///
/// # Panics
///
/// As [`count`].
pub fn count_hand_offs<S: Subject>(cycles: usize, build: impl Fn(usize) -> S) {
    runtime().block_on(async {
        let subject = build(1);
        let half = || async {
            for _ in 0..cycles / 2 {
                let held = subject.acquire().await;
                // The other one goes to wait meanwhile.
                yield_now().await;
                drop(held);
            }
        };
        tokio::join!(half(), half());
    });
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("the machine has a descriptor left")
}
