//! Ratios: the pool beside the floors below it and the design it replaces, in turns, in one process.
//!
//! Promise: a ratio is taken between blocks that ran next to each other; absolute times are shown
//! and depend on the machine. Every block checks its own result.
//! Cost: about two minutes; `--quick` ten seconds; a case's name as argument runs it alone.
//!
//! ```text
//! cargo bench --bench ratios -- [--quick] [CASE ...]
//! ```

// Plays one part of the harness; the peers and the suite play the rest.
#[allow(dead_code, unused_imports)]
mod harness;
mod reference;
mod subjects;

use std::process::ExitCode;

use harness::{Bar, LockedPair, Measure, MutexVec, QueuePair, SemaphoreQueue, entry, run};
use subjects::{OldDesign, Ours};

/// The cases of the first screen; the suite plays all of them, beside other pools.
#[rustfmt::skip]
const ALL: &[&str] =
    &["one_task", "one_worker", "two_workers", "threads_32", "64_over_8", "1000_over_8"];
/// And those where openings take time, which the floors and the old design have none of.
#[rustfmt::skip]
const OURS: &[&str] =
    &["one_task", "one_worker", "two_workers", "threads_32", "64_over_8", "1000_over_8", "spike", "burst"];
/// Floors that never wait play only where there is an object for every caller.
const HITS: &[&str] = &["one_task", "one_worker", "two_workers", "threads_32"];

#[rustfmt::skip]
const BARS: &[Bar] = &[
    Bar { case: "one_task", against: "ArrayQueue pop + push", measure: Measure::Speed, at_least: 0.80 },
    Bar { case: "one_task", against: "old design", measure: Measure::Speed, at_least: 8.0 },
    Bar { case: "two_workers", against: "old design", measure: Measure::Speed, at_least: 25.0 },
    Bar { case: "64_over_8", against: "old design", measure: Measure::Speed, at_least: 1.5 },
    Bar { case: "64_over_8", against: "old design", measure: Measure::Wait, at_least: 1.0 },
    Bar { case: "64_over_8", against: "plunge", measure: Measure::Evenness, at_least: 0.75 },
];

fn main() -> ExitCode {
    let entries = [
        entry::<Ours>(|case| OURS.contains(&case.name)),
        entry::<LockedPair>(|case| case.name == "one_task"),
        entry::<QueuePair>(|case| HITS.contains(&case.name)),
        entry::<MutexVec>(|case| HITS.contains(&case.name)),
        entry::<SemaphoreQueue>(|case| ALL.contains(&case.name)),
        entry::<OldDesign>(|case| ALL.contains(&case.name)),
    ];
    run(&entries, BARS)
}
