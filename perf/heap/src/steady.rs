//! Steady: the live heap must return to where it was.
//!
//! Promise: read after a warm-up and after each of five equal parts; what an operation leaks shows in
//! every part, what is built once shows in none but the first.
//! Cost: the load.

use std::process::ExitCode;

use plunge_peers::say;

use crate::live::live;
use crate::load::Load;

/// Bytes that a part may seem to leave behind: what the runtime keeps for reuse.
const SLACK: i64 = 4 * 1024;
const PARTS: u64 = 5;

/// Runs the load and compares.
pub fn run(millions: u64) -> ExitCode {
    let part = (millions * 1_000).div_ceil(PARTS).max(1);
    let load = Load::start();
    load.run(part);
    let start = live();
    if start == 0 {
        eprintln!("plunge-heap: jemalloc gives no statistics: build with its feature `stats`");
        return ExitCode::from(2);
    }
    say!("after the warm-up: {start} bytes live");
    let mut least = i64::MAX;
    for at in 1..=PARTS {
        load.run(part);
        let grown = live() as i64 - start as i64;
        least = least.min(grown);
        say!("after {} thousand operations: {grown:+} bytes", at * part);
    }
    if least > SLACK {
        say!("steady: at least {least} bytes more than at the start, {SLACK} allowed: FAILED");
        return ExitCode::FAILURE;
    }
    say!("steady: the live heap returned to its start: passed");
    ExitCode::SUCCESS
}
