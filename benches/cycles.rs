//! Cycles: runs one subject's hit cycle a given number of times, to be counted from outside.
//!
//! Promise: nothing but the cycles differs between two runs with different counts, so that the
//! difference of two instruction counts divided by the difference of the counts is one cycle.
//! Cost: the cycles.
//!
//! ```text
//! cycles (plunge | queue | locked | semaphore | old) CYCLES
//! ```

// Plays one part of the harness; `ratios` plays the rest.
#[allow(dead_code, unused_imports)]
mod harness;
mod reference;
mod subjects;

use std::process::ExitCode;

use harness::{LockedPair, QueuePair, SemaphoreQueue, Subject};
use subjects::{OldDesign, Ours};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (subject, cycles) = match words[..] {
        [] => ("plunge", Ok(1_000)), // As cargo bench calls it: shows that it runs.
        [subject, cycles] => (subject, cycles.parse()),
        _ => return usage(),
    };
    let Ok(cycles) = cycles else { return usage() };
    match subject {
        "plunge" => count::<Ours>(cycles),
        "queue" => count::<QueuePair>(cycles),
        "locked" => count::<LockedPair>(cycles),
        "semaphore" => count::<SemaphoreQueue>(cycles),
        "old" => count::<OldDesign>(cycles),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: cycles (plunge | queue | locked | semaphore | old) CYCLES");
    ExitCode::from(2)
}

fn count<S: Subject>(cycles: usize) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the machine has a descriptor left");
    runtime.block_on(async {
        let subject = S::build(16);
        drop(subject.acquire().await);
        subject.cycle(cycles).await;
    });
}
