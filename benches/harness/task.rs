//! Task: what one task does while a block lasts.
//!
//! Promise: counts only what both began and ended while the clock ran.
//! Cost: a relaxed load a cycle, or one in sixteen where it would be seen in the result; two clock
//! reads where a wait is timed.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Shape, Subject, Tally};

pub const WARM: u8 = 0;
pub const MEASURE: u8 = 1;
pub const STOP: u8 = 2;

/// Cycles between two looks at the phase where a look would be seen in the result.
const STRIDE: usize = 16;
/// Strides after which a task that only hits lets the next one run, whatever its subject does.
const TURN: usize = 64;
/// One acquire in so many is timed where a clock would be seen in the result.
const TIMED: u64 = 8;
/// How long an object is held where holds are long.
const LONG: Duration = Duration::from_micros(1_500);

/// Plays one task of a case until the phase is `STOP`.
pub async fn work<S: Subject>(subject: &S, shape: Shape, phase: &AtomicU8) -> Tally {
    match shape {
        Shape::Hits | Shape::Threads => hit(subject, phase).await,
        Shape::Storm => storm(subject, phase).await,
        _ => hold(subject, shape, phase).await,
    }
}

/// Acquires and releases without an await in between.
async fn hit<S: Subject>(subject: &S, phase: &AtomicU8) -> Tally {
    let mut tally = Tally::new();
    let mut strides = 0;
    loop {
        let before = phase.load(Relaxed);
        if before == STOP {
            return tally;
        }
        subject.cycle(STRIDE).await;
        if before == MEASURE && phase.load(Relaxed) == MEASURE {
            tally.cycles += STRIDE as u64;
        }
        strides += 1;
        if strides % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Holds the object over an await, so that every holder is overtaken by tasks that want it.
async fn hold<S: Subject>(subject: &S, shape: Shape, phase: &AtomicU8) -> Tally {
    let mut tally = Tally::new();
    let mut turn = 0;
    let timed = match shape {
        Shape::Sleeps => 1,
        Shape::Yields => u64::MAX,
        _ => TIMED,
    };
    loop {
        let before = phase.load(Relaxed);
        if before == STOP {
            return tally;
        }
        turn += 1;
        let start = (turn % timed == 0).then(Instant::now);
        let guard = subject.acquire().await;
        let waited = start.map(|start| start.elapsed());
        match shape {
            Shape::Sleeps => tokio::time::sleep(LONG).await,
            _ => tokio::task::yield_now().await,
        }
        drop(guard);
        if before == MEASURE && phase.load(Relaxed) == MEASURE {
            tally.cycles += 1;
            if let Some(waited) = waited {
                tally.waited(waited);
            }
        }
    }
}

/// As `hold`, with a cancelled wait between two holds.
async fn storm<S: Subject>(subject: &S, phase: &AtomicU8) -> Tally {
    let mut tally = Tally::new();
    loop {
        let before = phase.load(Relaxed);
        if before == STOP {
            return tally;
        }
        cancel(subject).await;
        let start = Instant::now();
        let guard = subject.acquire().await;
        let waited = start.elapsed();
        tokio::task::yield_now().await;
        drop(guard);
        if before == MEASURE && phase.load(Relaxed) == MEASURE {
            tally.cycles += 1;
            tally.waited(waited);
        }
    }
}

/// Begins an acquire and drops it one turn of the scheduler later, whatever became of it.
async fn cancel<S: Subject>(subject: &S) {
    let mut waiting = pin!(subject.acquire());
    let mut at_once = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(guard) = waiting.as_mut().poll(context) {
            at_once = Some(guard);
        }
        Poll::Ready(())
    })
    .await;
    tokio::task::yield_now().await;
}
