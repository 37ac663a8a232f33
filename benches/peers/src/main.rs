//! Peers: the cases of `ratios`, played by other pools beside ours.
//!
//! Promise: each peer has the settings that serve it best (see its file), and plays in turns with
//! the others in one process. Features of this member never reach the published package.
//! Cost: about four minutes; `--quick` twenty seconds; a case's name as argument runs it alone.
//!
//! ```text
//! cargo run --release -p plunge-peers -- [--quick] [CASE ...]
//! ```

#[path = "../../harness/mod.rs"]
mod harness;
mod peers;
#[path = "../../reference/mod.rs"]
mod reference;
#[path = "../../subjects/mod.rs"]
mod subjects;

use std::process::ExitCode;

use harness::{Bar, LockedPair, Measure, MutexVec, QueuePair, SemaphoreQueue, entry, run};
use peers::{Bb8, Deadpool, Mobc};
use subjects::{OldDesign, Ours};

/// Plays every case.
const ALL: &[&str] = &[];
/// Floors that never wait play only where there is an object for every caller.
const HITS: &[&str] = &["one_task", "one_worker", "two_workers", "threads_32"];

#[rustfmt::skip]
const BARS: &[Bar] = &[
    Bar { case: "one_task", against: "deadpool", measure: Measure::Speed, at_least: 10.0 },
    Bar { case: "one_task", against: "bb8", measure: Measure::Speed, at_least: 12.0 },
    Bar { case: "two_workers", against: "deadpool", measure: Measure::Speed, at_least: 25.0 },
    Bar { case: "threads_32", against: "deadpool", measure: Measure::Speed, at_least: 12.0 },
    Bar { case: "threads_32", against: "Mutex<Vec>", measure: Measure::Speed, at_least: 1.0 },
    Bar { case: "64_over_8", against: "deadpool", measure: Measure::Speed, at_least: 1.4 },
    Bar { case: "64_over_8", against: "deadpool", measure: Measure::Wait, at_least: 1.0 },
    Bar { case: "64_over_8", against: "old design", measure: Measure::Speed, at_least: 1.5 },
    Bar { case: "64_over_8", against: "plunge", measure: Measure::Evenness, at_least: 0.75 },
    Bar { case: "1000_over_8", against: "deadpool", measure: Measure::Speed, at_least: 1.4 },
];

fn main() -> ExitCode {
    let entries = [
        entry::<Ours>(ALL),
        entry::<LockedPair>(&["one_task"]),
        entry::<QueuePair>(HITS),
        entry::<MutexVec>(HITS),
        entry::<SemaphoreQueue>(ALL),
        entry::<OldDesign>(ALL),
        entry::<Deadpool>(ALL),
        entry::<Bb8>(ALL),
        entry::<Mobc>(ALL),
    ];
    run(&entries, BARS)
}
