//! Cycles: runs one subject's hit cycle, or its hand-off, a given number of times, to be counted from outside.
//!
//! Promise: nothing but the cycles differs between two runs with different counts, so that the
//! difference of two instruction counts divided by the difference of the counts is one cycle.
//! Cost: the cycles.
//!
//! ```text
//! cycles (plunge | metered | queue | locked | semaphore | old) CYCLES
//! cycles (plunge | metered)-hand-off CYCLES
//! ```

// Plays one part of the harness; the peers and the suite play the rest.
#[allow(dead_code, unused_imports)]
mod harness;
#[cfg(feature = "metrics")]
#[path = "subjects/metered.rs"]
mod metered;
mod reference;
mod subjects;

use std::process::ExitCode;

use harness::{Build, LockedPair, QueuePair, SemaphoreQueue, count, count_hand_offs};
#[cfg(feature = "metrics")]
use metered::Metered;
use subjects::{OldDesign, Ours};

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
        "plunge" => count(cycles, Ours::build),
        "plunge-hand-off" => count_hand_offs(cycles, Ours::build),
        #[cfg(feature = "metrics")]
        "metered" => count(cycles, Metered::build),
        #[cfg(feature = "metrics")]
        "metered-hand-off" => count_hand_offs(cycles, Metered::build),
        "queue" => count(cycles, QueuePair::build),
        "locked" => count(cycles, LockedPair::build),
        "semaphore" => count(cycles, SemaphoreQueue::build),
        "old" => count(cycles, OldDesign::build),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: cycles (plunge[-hand-off] | metered[-hand-off] | queue | locked | semaphore | old) CYCLES\n\
         metered: with the feature `metrics` alone"
    );
    ExitCode::from(2)
}
