//! Play: one block of a case by one subject, on a runtime of its own.
//!
//! Promise: every object is open before the clock starts; the check of the result (objects open) is
//! part of playing. A task that never got an object shows as an evenness of zero.
//! Cost: a fresh runtime and subject a block, so that no lucky placement in memory lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};

use super::{Case, Shape, Subject};

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// Cycles between two looks at the phase where a look would be seen in the result.
const STRIDE: usize = 16;
/// Strides after which a task that only hits lets the next one run, whatever its subject does.
const TURN: usize = 64;
/// One acquire in so many is timed.
const TIMED: u64 = 8;

/// What one block gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Nanoseconds a cycle, over all tasks together.
    pub ns_per_cycle: f64,
    /// Waits in nanoseconds; empty where the case measures none.
    pub waits: Histogram<u64>,
    /// Cycles of the slowest task divided by those of the fastest.
    pub evenness: f64,
}

/// What one task counted while the phase was `MEASURE`.
struct Tally {
    cycles: u64,
    waits: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        Self {
            cycles: 0,
            waits: Histogram::new_with_bounds(1, 60_000_000_000, 2)
                .expect("constant bounds are valid"),
        }
    }
}

/// Plays one block of `case` that lasts about `millis`, and checks it.
///
/// # Panics
///
/// If more objects were open than the case allows.
pub fn play<S: Subject>(case: &Case, millis: u64) -> Outcome {
    let runtime = runtime(case);
    let subject = runtime.block_on(async { filled::<S>(case.size).await });
    let outcome = match case.shape {
        Shape::Solo => solo(&runtime, &subject, millis),
        Shape::Hits | Shape::Saturated | Shape::Threads => crowd(&runtime, &subject, case, millis),
    };
    let opened = subject.opened();
    assert!(
        opened <= case.size,
        "{}: {opened} objects open, {} allowed",
        S::NAME,
        case.size
    );
    outcome
}

fn runtime(case: &Case) -> Runtime {
    let built = match case.workers {
        0 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build(),
    };
    built.expect("the machine has a thread and a descriptor left")
}

/// Opens every object before the clock starts.
async fn filled<S: Subject>(size: usize) -> S {
    let subject = S::build(size);
    let mut held = Vec::with_capacity(size);
    for _ in 0..size {
        held.push(subject.acquire().await);
    }
    drop(held);
    subject
}

fn solo<S: Subject>(runtime: &Runtime, subject: &S, millis: u64) -> Outcome {
    const BATCH: usize = 10_000;
    runtime.block_on(async {
        subject.cycle(BATCH).await;
        let start = Instant::now();
        let mut cycles = 0;
        while start.elapsed() < Duration::from_millis(millis) {
            subject.cycle(BATCH).await;
            cycles += BATCH;
        }
        Outcome {
            ns_per_cycle: start.elapsed().as_nanos() as f64 / cycles as f64,
            waits: Tally::new().waits,
            evenness: 1.0,
        }
    })
}

fn crowd<S: Subject>(runtime: &Runtime, subject: &S, case: &Case, millis: u64) -> Outcome {
    let phase = Arc::new(AtomicU8::new(WARM));
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..case.tasks {
        let (subject, phase, sender) = (subject.clone(), Arc::clone(&phase), sender.clone());
        let (shape, handle) = (case.shape, runtime.handle().clone());
        let work = async move {
            let tally = match shape {
                Shape::Saturated => hold(&subject, &phase).await,
                _ => hit(&subject, &phase).await,
            };
            drop(subject);
            let _ = sender.send(tally);
        };
        if shape == Shape::Threads {
            thread::spawn(move || handle.block_on(work));
        } else {
            runtime.spawn(work);
        }
    }
    drop(sender);

    thread::sleep(Duration::from_millis(millis / 4));
    // Relaxed, here and in the tasks: a phase seen late moves a few cycles across the border.
    phase.store(MEASURE, Relaxed);
    let start = Instant::now();
    thread::sleep(Duration::from_millis(millis));
    phase.store(STOP, Relaxed);
    let elapsed = start.elapsed();
    sum(&receiver.iter().collect::<Vec<Tally>>(), elapsed)
}

fn sum(tallies: &[Tally], elapsed: Duration) -> Outcome {
    let total: u64 = tallies.iter().map(|tally| tally.cycles).sum();
    let least = tallies.iter().map(|tally| tally.cycles).min().unwrap_or(0);
    let most = tallies.iter().map(|tally| tally.cycles).max().unwrap_or(0);
    let mut waits = Tally::new().waits;
    for tally in tallies {
        waits.add(&tally.waits).expect("the bounds are the same");
    }
    Outcome {
        ns_per_cycle: elapsed.as_nanos() as f64 / total as f64,
        waits,
        evenness: least as f64 / most as f64,
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

/// Holds the object over one yield, so that every holder is overtaken by tasks that want it.
async fn hold<S: Subject>(subject: &S, phase: &AtomicU8) -> Tally {
    let mut tally = Tally::new();
    let mut turn = 0;
    loop {
        let before = phase.load(Relaxed);
        if before == STOP {
            return tally;
        }
        turn += 1;
        let start = (turn % TIMED == 0).then(Instant::now);
        let guard = subject.acquire().await;
        let waited = start.map(|start| start.elapsed().as_nanos() as u64);
        tokio::task::yield_now().await;
        drop(guard);
        if before == MEASURE && phase.load(Relaxed) == MEASURE {
            tally.cycles += 1;
            if let Some(waited) = waited {
                tally.waits.saturating_record(waited.max(1));
            }
        }
    }
}
