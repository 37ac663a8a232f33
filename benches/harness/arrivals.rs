//! Arrivals: callers that come by a schedule, whatever happened to those before them.
//!
//! Promise: a wait is counted from the time the schedule says, so that a stall is charged to every
//! caller that should have come during it (no coordinated omission). Fewer arrivals than scheduled
//! show as a longer cycle.
//! Cost: a spawn an arrival, and a thread that sleeps between them: some tens of microseconds of
//! every wait are its sleep, the same for all subjects.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{Case, Outcome, Subject, Tally};

/// Turns of the scheduler that an object is held for.
const HOLD: usize = 4;
/// How long callers may take to end after the last arrival.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays the schedule for about `millis`; a quarter more before the clock starts.
pub fn play<S: Subject>(runtime: &Runtime, subject: &S, case: &Case, millis: u64) -> Outcome {
    let period = Duration::from_nanos(1_000_000 / case.tasks as u64);
    let warm = case.tasks * millis as usize / 4;
    let total = warm + case.tasks * millis as usize;
    let tally = Arc::new(Mutex::new(Tally::new()));
    let start = Instant::now();
    for arrival in 0..total {
        let due = start + period * arrival as u32;
        let now = Instant::now();
        if due > now {
            thread::sleep(due - now);
        }
        let (subject, tally) = (subject.clone(), Arc::clone(&tally));
        runtime.spawn(async move {
            let guard = subject.acquire().await;
            let waited = due.elapsed();
            for _ in 0..HOLD {
                tokio::task::yield_now().await;
            }
            drop(guard);
            if let (true, Ok(mut tally)) = (arrival >= warm, tally.lock()) {
                tally.cycles += 1;
                tally.waited(waited);
            }
        });
    }
    finish::<S>(tally, total - warm, start + period * warm as u32)
}

fn finish<S: Subject>(tally: Arc<Mutex<Tally>>, expected: usize, start: Instant) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ended = tally.lock().map_or(0, |tally| tally.cycles as usize);
        if ended == expected {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{}: {ended} of {expected} arrivals were served",
            S::NAME
        );
        thread::sleep(Duration::from_millis(1));
    }
    let elapsed = start.elapsed();
    let mut taken = Tally::new();
    if let Ok(mut tally) = tally.lock() {
        std::mem::swap(&mut taken, &mut tally);
    }
    Outcome::alone(elapsed, taken)
}
