//! Burst: many callers at once on a new pool whose factory takes a while.
//!
//! Promise: a cycle is one burst, from the first acquire to the last release. A wait is one caller's
//! time to its object; `opened` is how many openings a burst began.
//! Cost: a pool a burst, and what it opened in vain is waited for.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::opening::{openings, set_opening};
use super::play::check_opened;
use super::{Case, Outcome, Shape, Subject, Tally};

/// What tells one kind of burst from another.
struct Burst {
    /// How many objects are idle when it begins.
    idle: usize,
    /// How long opening one object takes.
    opening: Duration,
    /// How long an object is held; over one yield if nothing.
    hold: Option<Duration>,
}

/// Everybody on an empty pool.
const SPIKE: Burst = Burst {
    idle: 0,
    opening: Duration::from_millis(2),
    hold: None,
};
/// Everybody on few idle objects, where opening takes far longer than holding.
const BURST: Burst = Burst {
    idle: 5,
    opening: Duration::from_millis(150),
    hold: Some(Duration::from_millis(2)),
};

/// Plays bursts for about `millis`, at least three.
pub fn play<S: Subject>(
    runtime: &Runtime,
    case: &Case,
    millis: u64,
    build: impl Fn(usize) -> S,
) -> Outcome {
    let kind = match case.shape {
        Shape::Spike => &SPIKE,
        _ => &BURST,
    };
    let mut tally = Tally::new();
    let (mut spent, mut opened) = (Duration::ZERO, 0);
    while tally.cycles < 3 || spent < Duration::from_millis(millis) {
        let subject = runtime.block_on(with_idle(kind.idle, case.size, &build));
        set_opening(kind.opening);
        let before = openings();
        spent += runtime.block_on(burst(&subject, case.tasks, kind.hold, &mut tally));
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

async fn with_idle<S: Subject>(idle: usize, size: usize, build: &impl Fn(usize) -> S) -> S {
    let subject = build(size);
    let mut held = Vec::with_capacity(idle);
    for _ in 0..idle {
        held.push(subject.acquire().await);
    }
    drop(held);
    subject
}

async fn burst<S: Subject>(
    subject: &S,
    tasks: usize,
    hold: Option<Duration>,
    tally: &mut Tally,
) -> Duration {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..tasks {
        let subject = subject.clone();
        callers.spawn(async move {
            let start = Instant::now();
            let guard = subject.acquire().await;
            let waited = start.elapsed();
            match hold {
                Some(hold) => tokio::time::sleep(hold).await,
                None => tokio::task::yield_now().await,
            }
            drop(guard);
            waited
        });
    }
    while let Some(ended) = callers.join_next().await {
        tally.waited(ended.expect("a caller does not panic"));
    }
    start.elapsed()
}
