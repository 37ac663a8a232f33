//! Burst: many callers at once on few idle objects, where opening takes far longer than holding.
//!
//! Promise: a cycle is one burst, from the first acquire to the last release; each begins with a new
//! pool in which five objects are idle. A wait is one caller's time to its object; `opened` is how
//! many openings a burst began.
//! Cost: a pool a burst, and what it opened in vain is waited for.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::opening::{openings, set_opening};
use super::play::check_opened;
use super::{Case, Outcome, Subject, Tally};

/// How many objects are idle when the burst begins.
const IDLE: usize = 5;
/// How long opening one object takes.
const OPENING: Duration = Duration::from_millis(150);
/// How long an object is held.
const HOLD: Duration = Duration::from_millis(2);

/// Plays bursts for about `millis`, at least three.
pub fn play<S: Subject>(
    runtime: &Runtime,
    case: &Case,
    millis: u64,
    build: impl Fn(usize) -> S,
) -> Outcome {
    let mut tally = Tally::new();
    let (mut spent, mut opened) = (Duration::ZERO, 0);
    while tally.cycles < 3 || spent < Duration::from_millis(millis) {
        let subject = runtime.block_on(some_idle(case.size, &build));
        set_opening(OPENING);
        let before = openings();
        spent += runtime.block_on(burst(&subject, case.tasks, &mut tally));
        opened += openings() - before;
        set_opening(Duration::ZERO);
        check_opened(&subject, case);
        tally.cycles += 1;
    }
    let cycles = tally.cycles as f64;
    Outcome {
        opened: opened as f64 / cycles,
        ..Outcome::alone(spent, tally)
    }
}

async fn some_idle<S: Subject>(size: usize, build: &impl Fn(usize) -> S) -> S {
    let subject = build(size);
    let mut held = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        held.push(subject.acquire().await);
    }
    drop(held);
    subject
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
            tokio::time::sleep(HOLD).await;
            drop(guard);
            waited
        });
    }
    while let Some(ended) = callers.join_next().await {
        tally.waited(ended.expect("a caller does not panic"));
    }
    start.elapsed()
}
