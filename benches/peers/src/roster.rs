//! Roster: who plays which case, and what the first of them is held against.
//!
//! Promise: ours comes first. Who cannot wait plays only where there is an object for every caller.
//! Cost: none.

use crate::harness::{Bar, Entry, LockedPair, Measure, MutexVec, QueuePair, SemaphoreQueue, entry};
use crate::peers::{Bb8, Deadpool, Mobc, Opool, OursKeyed, Pingora, R2d2, Sqlx, hyper_cache};
use crate::subjects::{OldDesign, Ours};

/// Who has keys.
const KEYED: &[&str] = &["keyed"];
/// Every case of a pool without keys.
#[rustfmt::skip]
const SINGLE: &[&str] = &[
    "one_task", "one_worker", "hits_2", "two_workers", "hits_32", "hits_64",
    "yields_2", "yields_8", "yields_32", "yields_64", "threads_2", "threads_8", "threads_32",
    "64_over_8", "1000_over_8", "1000_over_50", "storm", "spike", "burst", "arrivals",
];
/// There is an object for every caller.
#[rustfmt::skip]
const HITS: &[&str] = &[
    "one_task", "one_worker", "hits_2", "two_workers", "hits_32", "hits_64",
    "yields_2", "yields_8", "yields_32", "yields_64", "threads_2", "threads_8", "threads_32",
];
/// Everything but the spike, for what has no factory, or one that cannot wait.
#[rustfmt::skip]
const FILLED: &[&str] = &[
    "one_task", "one_worker", "hits_2", "two_workers", "hits_32", "hits_64",
    "yields_2", "yields_8", "yields_32", "yields_64", "threads_2", "threads_8", "threads_32",
    "64_over_8", "1000_over_8", "1000_over_50", "storm", "arrivals",
];
/// As `FILLED`, for a design that loses a permit when an acquire is cancelled at its lock.
#[rustfmt::skip]
const UNCANCELLED: &[&str] = &[
    "one_task", "one_worker", "hits_2", "two_workers", "hits_32", "hits_64",
    "yields_2", "yields_8", "yields_32", "yields_64", "threads_2", "threads_8", "threads_32",
    "64_over_8", "1000_over_8", "1000_over_50", "arrivals",
];

/// What ours is held against.
#[rustfmt::skip]
pub const BARS: &[Bar] = &[
    Bar { case: "one_task", against: "ArrayQueue pop + push", measure: Measure::Speed, at_least: 0.80 },
    Bar { case: "one_task", against: "deadpool", measure: Measure::Speed, at_least: 10.0 },
    Bar { case: "one_task", against: "bb8", measure: Measure::Speed, at_least: 12.0 },
    Bar { case: "one_task", against: "sqlx", measure: Measure::Speed, at_least: 40.0 },
    Bar { case: "two_workers", against: "deadpool", measure: Measure::Speed, at_least: 25.0 },
    Bar { case: "threads_32", against: "deadpool", measure: Measure::Speed, at_least: 12.0 },
    Bar { case: "threads_32", against: "Mutex<Vec>", measure: Measure::Speed, at_least: 1.0 },
    Bar { case: "64_over_8", against: "deadpool", measure: Measure::Speed, at_least: 1.4 },
    Bar { case: "64_over_8", against: "deadpool", measure: Measure::Wait, at_least: 1.0 },
    Bar { case: "64_over_8", against: "old design", measure: Measure::Speed, at_least: 1.5 },
    Bar { case: "64_over_8", against: "plunge", measure: Measure::Evenness, at_least: 0.75 },
    Bar { case: "1000_over_8", against: "deadpool", measure: Measure::Speed, at_least: 1.4 },
    Bar { case: "burst", against: "deadpool", measure: Measure::Speed, at_least: 3.7 },
];

/// Everybody, ours first, then the floors, then the peers.
pub fn roster() -> Vec<Entry> {
    vec![
        entry::<Ours>(SINGLE),
        entry::<LockedPair>(&["one_task"]),
        entry::<QueuePair>(HITS),
        entry::<MutexVec>(HITS),
        entry::<SemaphoreQueue>(FILLED),
        entry::<OldDesign>(UNCANCELLED),
        entry::<Deadpool<false>>(SINGLE),
        entry::<Deadpool<true>>(SINGLE),
        entry::<Bb8<false>>(SINGLE),
        entry::<Bb8<true>>(SINGLE),
        entry::<Mobc>(SINGLE),
        entry::<Sqlx>(SINGLE),
        entry::<R2d2>(HITS),
        entry::<Opool>(HITS),
        entry::<Pingora<false>>(HITS),
        hyper_cache(HITS),
        entry::<OursKeyed<false>>(KEYED),
        entry::<OursKeyed<true>>(KEYED),
        entry::<Pingora<true>>(KEYED),
    ]
}

/// Name and version of each peer's package, and of the runtime, out of the lock file.
pub fn versions() -> Vec<(&'static str, String)> {
    let lock = include_str!("../../../Cargo.lock");
    let names = [
        "bb8",
        "crossbeam-queue",
        "deadpool",
        "hyper-util",
        "mobc",
        "opool",
        "pingora-pool",
        "r2d2",
        "sqlx-core",
        "tokio",
    ];
    names
        .into_iter()
        .map(|name| (name, version(lock, name)))
        .collect()
}

fn version(lock: &str, name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let found = lock
        .split(&entry)
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    found.unwrap_or("unknown").to_owned()
}
