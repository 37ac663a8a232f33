//! Weigh: what an idle connection costs each subject, and ours over time.
//!
//! Promise: a subject with 2,000 idle objects less one with 1,000, divided by 1,000: what is built
//! once cancels out. The objects are one word each.
//! Cost: some seconds.

use std::process::ExitCode;
use std::time::Instant;

use plunge_peers::roster;

use crate::live::live;
use crate::load::Load;

const LESS: usize = 1_000;
/// How often the live heap is read.
const READINGS: u64 = 40;

/// Prints lines of a record. `thousands` of operations between two readings of the heap.
pub fn run(thousands: u64) -> ExitCode {
    // By key, a connection weighs what it weighs plus its share of the key.
    let single = roster()
        .into_iter()
        .filter(|entry| entry.cases.contains(&"one_task"));
    for entry in single {
        let weight = |size: usize| {
            let before = live();
            let kept = (entry.keep)(size);
            let after = live();
            drop(kept);
            after as f64 - before as f64
        };
        // Once for what a process builds once: thread-locals, tables, names.
        weight(LESS);
        let bytes = (weight(2 * LESS) - weight(LESS)) / LESS as f64;
        println!(
            r#"{{"kind":"weight","subject":"{}","bytes_per_connection":{bytes:.1}}}"#,
            entry.name
        );
    }
    over_time(thousands * 10);
    ExitCode::SUCCESS
}

fn over_time(thousands: u64) {
    let load = Load::start();
    let start = Instant::now();
    for reading in 1..=READINGS {
        load.run(thousands);
        println!(
            r#"{{"kind":"heap","subject":"plunge","seconds":{:.3},"operations":{},"allocated":{}}}"#,
            start.elapsed().as_secs_f64(),
            reading * thousands * 1_000,
            live()
        );
    }
}
