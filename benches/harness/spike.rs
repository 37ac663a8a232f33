//! Spike: everybody at once on an empty pool whose factory takes a while.
//!
//! Promise: a cycle is one burst, from the first acquire to the last one served; each burst starts
//! with a new pool. A wait is one caller's time to its object.
//! Cost: a pool a burst.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::opening::set_opening;
use super::play::check_opened;
use super::{Case, Outcome, Subject, Tally};

/// How long opening one object takes.
const OPENING: Duration = Duration::from_millis(2);

/// Plays bursts for about `millis`, at least three.
pub fn play<S: Subject>(
    runtime: &Runtime,
    case: &Case,
    millis: u64,
    build: impl Fn(usize) -> S,
) -> Outcome {
    set_opening(OPENING);
    let mut tally = Tally::new();
    let mut spent = Duration::ZERO;
    while tally.cycles < 3 || spent < Duration::from_millis(millis) {
        let subject = runtime.block_on(async { build(case.size) });
        spent += runtime.block_on(burst(&subject, case.tasks, &mut tally));
        check_opened(&subject, case);
        tally.cycles += 1;
    }
    set_opening(Duration::ZERO);
    Outcome::alone(spent, tally)
}

async fn burst<S: Subject>(subject: &S, tasks: usize, tally: &mut Tally) -> Duration {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..tasks {
        let subject = subject.clone();
        callers.spawn(async move {
            let start = Instant::now();
            let guard = subject.acquire().await;
            let waited = start.elapsed();
            tokio::task::yield_now().await;
            drop(guard);
            waited
        });
    }
    while let Some(ended) = callers.join_next().await {
        tally.waited(ended.expect("a caller does not panic"));
    }
    start.elapsed()
}
