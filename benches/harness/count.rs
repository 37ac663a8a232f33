//! Count: a fixed number of hit cycles and nothing else, to be counted by an instrument outside.
//!
//! Promise: nothing but the cycles differs between two runs with different counts, so that the
//! difference of two readings divided by the difference of the counts is one cycle.
//! Cost: the cycles.

use tokio::runtime::Builder;

use super::Subject;

/// Runs `cycles` hit cycles of what `build` makes, alone on a current-thread runtime.
///
/// # Panics
///
/// If the machine has no descriptor left for a runtime.
pub fn count<S: Subject>(cycles: usize, build: impl Fn(usize) -> S) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the machine has a descriptor left");
    runtime.block_on(async {
        let subject = build(16);
        drop(subject.acquire().await);
        subject.cycle(cycles).await;
    });
}
