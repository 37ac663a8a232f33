//! Roster: who plays which case, and what the first of them is held against.
//!
//! Promise: ours comes first. Who cannot wait plays only where there is an object for every caller.
//! Cost: none.

use crate::harness::{
    Bar, Case, Entry, LockedPair, Measure, MutexVec, QueuePair, SemaphoreQueue, Shape, entry,
};
use crate::peers::{Bb8, Deadpool, Mobc, Opool, OursKeyed, Pingora, R2d2, Sqlx, hyper_cache};
use crate::subjects::{OldDesign, Ours};

/// Who has keys.
fn keyed(case: &Case) -> bool {
    case.name == "keyed"
}

/// Every case of a pool without keys.
fn single(case: &Case) -> bool {
    !keyed(case)
}

/// Without keys, where there is an object for every caller: nobody waits.
fn hits(case: &Case) -> bool {
    single(case) && !case.shape.has_waits()
}

/// Where nothing is opened while the clock runs: for what has no factory, or one that cannot wait.
fn filled(case: &Case) -> bool {
    single(case) && !matches!(case.shape, Shape::Spike | Shape::Burst)
}

/// As `filled`, for a design that loses a permit when an acquire is cancelled at its lock.
fn uncancelled(case: &Case) -> bool {
    filled(case) && case.shape != Shape::Storm
}

/// Where one task is alone.
fn alone(case: &Case) -> bool {
    case.shape == Shape::Solo
}

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
        entry::<Ours>(single),
        entry::<LockedPair>(alone),
        entry::<QueuePair>(hits),
        entry::<MutexVec>(hits),
        entry::<SemaphoreQueue>(filled),
        entry::<OldDesign>(uncancelled),
        entry::<Deadpool<false>>(single),
        entry::<Deadpool<true>>(single),
        entry::<Bb8<false>>(single),
        entry::<Bb8<true>>(single),
        entry::<Mobc>(single),
        entry::<Sqlx>(single),
        entry::<R2d2>(hits),
        entry::<Opool>(hits),
        entry::<Pingora<false>>(hits),
        hyper_cache(hits),
        entry::<OursKeyed<false>>(keyed),
        entry::<OursKeyed<true>>(keyed),
        entry::<Pingora<true>>(keyed),
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
