//! Play: one block of a case by one subject, on a runtime of its own.
//!
//! Promise: every object is open before the clock starts, except where opening is the case; the
//! check of the result (objects open, none lost) is part of playing, and a block in which tasks get
//! stuck ends in a panic, not in silence.
//! Cost: a fresh runtime and subject a block, so that no lucky placement in memory lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::kept_off::Players;
use super::pin::pin;
use super::task::{MEASURE, STOP, WARM, work};
use super::{Case, Outcome, Shape, Subject, Tally, arrivals, burst};

/// How long tasks may take to end after they were told to, and objects to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays one block of `case` that lasts about `millis`, and checks it.
///
/// # Panics
///
/// If more objects were open than the case allows, if a task is stuck, or if a storm lost an object.
pub fn play<S: Subject>(case: &Case, millis: u64, build: impl Fn(usize) -> S) -> Outcome {
    let players = Arc::new(Players::new(match case.shape {
        Shape::Threads => case.tasks,
        // Without workers, the thread that plays.
        _ => case.workers.max(1),
    }));
    let runtime = runtime(case, &players);
    if matches!(case.shape, Shape::Spike | Shape::Burst) {
        return burst::play(&runtime, case, millis, build);
    }
    let subject = runtime.block_on(async { filled(case.size, &build).await });
    let outcome = match case.shape {
        Shape::Solo => solo(&runtime, &players, &subject, millis),
        Shape::Arrivals => arrivals::play(&runtime, &subject, case, millis),
        _ => crowd(&runtime, &players, &subject, case, millis),
    };
    check_opened(&subject, case);
    if case.shape == Shape::Storm {
        runtime.block_on(check_whole(&subject, case.size));
    }
    outcome
}

/// Fails if more is open than the case allows.
pub fn check_opened<S: Subject>(subject: &S, case: &Case) {
    let opened = subject.opened();
    assert!(
        opened <= case.size,
        "{}: {opened} objects open, {} allowed",
        S::NAME,
        case.size
    );
}

async fn check_whole<S: Subject>(subject: &S, size: usize) {
    let mut held = Vec::new();
    for _ in 0..size {
        let Ok(guard) = tokio::time::timeout(PATIENCE, subject.acquire()).await else {
            panic!(
                "{}: {} of {size} objects left after the storm",
                S::NAME,
                held.len()
            );
        };
        held.push(guard);
    }
}

fn runtime(case: &Case, players: &Arc<Players>) -> Runtime {
    let built = match case.workers {
        0 => Builder::new_current_thread().enable_all().build(),
        workers => {
            let (next, players) = (AtomicUsize::new(0), Arc::clone(players));
            // Threads play by themselves there: the runtime's have nothing to do.
            let plays = case.shape != Shape::Threads;
            Builder::new_multi_thread()
                .worker_threads(workers)
                // Relaxed: only that no two have one number matters.
                .on_thread_start(move || {
                    pin(next.fetch_add(1, Relaxed));
                    if plays {
                        players.join();
                    }
                })
                .enable_all()
                .build()
        }
    };
    built.expect("the machine has a thread and a descriptor left")
}

/// Builds a subject with every object open and idle, on a runtime that is kept beside it.
pub fn fill<S: Subject>(size: usize, build: impl Fn(usize) -> S) -> (S, Runtime) {
    let built = Builder::new_current_thread().enable_all().build();
    let runtime = built.expect("the machine has a descriptor left");
    (
        runtime.block_on(async { filled(size, &build).await }),
        runtime,
    )
}

/// Opens every object before the clock starts.
async fn filled<S: Subject>(size: usize, build: &impl Fn(usize) -> S) -> S {
    let subject = build(size);
    let mut held = Vec::with_capacity(size);
    for _ in 0..size {
        held.push(subject.acquire().await);
    }
    drop(held);
    subject
}

fn solo<S: Subject>(runtime: &Runtime, players: &Players, subject: &S, millis: u64) -> Outcome {
    const BATCH: usize = 10_000;
    players.join();
    runtime.block_on(async {
        subject.cycle(BATCH).await;
        let mut tally = Tally::new();
        let before = players.start();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(millis) {
            subject.cycle(BATCH).await;
            tally.cycles += BATCH as u64;
        }
        let elapsed = start.elapsed();
        Outcome {
            kept_off: players.kept_off(&before),
            ..Outcome::alone(elapsed, tally)
        }
    })
}

fn crowd<S: Subject>(
    runtime: &Runtime,
    players: &Arc<Players>,
    subject: &S,
    case: &Case,
    millis: u64,
) -> Outcome {
    let phase = Arc::new(AtomicU8::new(WARM));
    let (sender, receiver) = channel();
    for nth in 0..case.tasks {
        let (subject, phase, sender) = (subject.clone(), Arc::clone(&phase), sender.clone());
        let (shape, handle) = (case.shape, runtime.handle().clone());
        let task = async move {
            let tally = work(&subject, shape, &phase).await;
            drop(subject);
            let _ = sender.send(tally);
        };
        if shape == Shape::Threads {
            let players = Arc::clone(players);
            thread::spawn(move || {
                pin(nth);
                players.join();
                handle.block_on(task)
            });
        } else {
            runtime.spawn(task);
        }
    }
    drop(sender);

    // A turn of everybody takes 40 ms and more where holds are long: a block has to see a few.
    let millis = match case.shape {
        Shape::Sleeps => millis.max(60) * 5,
        _ => millis,
    };
    thread::sleep(Duration::from_millis(millis / 4));
    // Relaxed, here and in the tasks: a phase seen late moves a few cycles across the border.
    phase.store(MEASURE, Relaxed);
    let (start, before) = (Instant::now(), players.start());
    thread::sleep(Duration::from_millis(millis));
    let kept_off = players.kept_off(&before);
    phase.store(STOP, Relaxed);
    let elapsed = start.elapsed();
    Outcome {
        kept_off,
        ..Outcome::of(&collect::<S>(&receiver, case.tasks), elapsed)
    }
}

fn collect<S: Subject>(receiver: &Receiver<Tally>, tasks: usize) -> Vec<Tally> {
    let mut tallies = Vec::with_capacity(tasks);
    while tallies.len() < tasks {
        let Ok(tally) = receiver.recv_timeout(PATIENCE) else {
            panic!("{}: {} of {tasks} tasks ended", S::NAME, tallies.len());
        };
        tallies.push(tally);
    }
    tallies
}
