//! Blocks: batches of cycles on one thread, timed one by one.
//!
//! Promise: a batch is long enough that two looks at the clock are lost in it, and short enough that
//! an interruption spoils one of many.
//! Cost: some hundredths of a second a block.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::harness::{Subject, median};

/// What is done in a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Acquire and release.
    Hit,
    /// A release into a caller that waits.
    Handoff,
}

/// How long a block lasts.
const BLOCK: Duration = Duration::from_millis(12);
/// Cycles of a batch.
const BATCH: usize = 64;

/// Nanoseconds a cycle, of the batch in the middle and of the one that 95 of 100 are faster than.
#[derive(Clone, Copy, Debug)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
}

/// Plays a block. On its own in the program: inlined into its callers, the reference took a third longer
/// once they had changed.
#[inline(never)]
pub fn play<S: Subject>(cycle: Cycle, build: impl Fn(usize) -> S) -> Percentiles {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the machine has a descriptor left");
    runtime.block_on(async {
        let subject = build(if cycle == Cycle::Hit { 16 } else { 1 });
        drop(subject.acquire().await);
        for _ in 0..50 {
            batch(&subject, cycle).await;
        }
        let mut times = Vec::with_capacity(1 << 15);
        let start = Instant::now();
        while start.elapsed() < BLOCK {
            let before = Instant::now();
            batch(&subject, cycle).await;
            times.push(before.elapsed().as_nanos() as f64 / BATCH as f64);
        }
        percentiles(times)
    })
}

fn percentiles(mut times: Vec<f64>) -> Percentiles {
    times.sort_by(f64::total_cmp);
    let at = (times.len() * 95 / 100).min(times.len().saturating_sub(1));
    Percentiles {
        p95: times.get(at).copied().unwrap_or(f64::NAN),
        p50: median(times),
    }
}

async fn batch<S: Subject>(subject: &S, cycle: Cycle) {
    match cycle {
        Cycle::Hit => subject.cycle(BATCH).await,
        Cycle::Handoff => {
            let mut held = subject.acquire().await;
            for _ in 0..BATCH {
                let mut waiting = pin!(subject.acquire());
                enlist(waiting.as_mut()).await;
                drop(held);
                held = waiting.await;
            }
        }
    }
}

/// Polls once, so that the caller stands in line.
async fn enlist<F: Future>(mut future: Pin<&mut F>) {
    std::future::poll_fn(|context| {
        assert!(
            future.as_mut().poll(context).is_pending(),
            "the only object is held"
        );
        Poll::Ready(())
    })
    .await;
}
