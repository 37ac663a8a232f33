//! Weigh: what an idle connection costs a subject, and ours over time.
//!
//! Promise: a subject with 2,000 idle objects less one with 1,000, divided by 1,000: what is built
//! once cancels out. The objects are one word each.
//! Cost: some seconds.

use std::process::ExitCode;
use std::time::Instant;

use plunge_peers::{roster, say};

use crate::live::live;
use crate::load::Load;

const LESS: usize = 1_000;
/// How often the live heap is read.
const READINGS: u64 = 40;

/// Prints a line of a record: the weight of this subject's connections.
pub fn weigh(subject: &str) -> ExitCode {
    let Some(entry) = roster().into_iter().find(|entry| entry.name == subject) else {
        let names: Vec<&str> = roster().iter().map(|entry| entry.name).collect();
        eprintln!(
            "plunge-heap: there is no subject '{subject}'; there are: {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    };
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
    say!(r#"{{"kind":"weight","subject":"{subject}","bytes_per_connection":{bytes:.1}}}"#);
    ExitCode::SUCCESS
}

/// Prints lines of a record: the live heap, read each time after so many thousand operations.
pub fn watch(thousands: u64) -> ExitCode {
    let load = Load::start();
    let start = Instant::now();
    for reading in 1..=READINGS {
        load.run(thousands);
        say!(
            r#"{{"kind":"heap","subject":"plunge","seconds":{:.3},"operations":{},"allocated":{}}}"#,
            start.elapsed().as_secs_f64(),
            reading * thousands * 1_000,
            live()
        );
    }
    ExitCode::SUCCESS
}
