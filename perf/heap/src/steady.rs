//! Steady: the live heap must return to where it was.
//!
//! Promise: read after a warm-up and after each of five equal parts, and twice more after a short one. What is
//! more at the end than at the start, in all of the last three readings, is taken for a leak, whenever it began.
//! Cost: the load.

use std::process::ExitCode;

use plunge_peers::say;

use crate::live::live;
use crate::load::Load;

/// Bytes that may seem to be left behind at the end: what the runtime keeps for reuse.
const SLACK: i64 = 4 * 1024;
const PARTS: u64 = 5;
/// Readings at the end, of which the least counts: what a runtime holds for a moment is in one of them alone.
const LAST: usize = 3;

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
    let (mut grown, mut done) = (Vec::new(), 0);
    let short = (part / 64).max(1);
    let settling = std::iter::repeat_n(short, LAST - 1);
    for thousands in std::iter::repeat_n(part, PARTS as usize).chain(settling) {
        load.run(thousands);
        done += thousands;
        let more = live() as i64 - start as i64;
        say!("after {done} thousand operations: {more:+} bytes");
        grown.push(more);
    }
    let least = left_behind(&grown);
    if least > SLACK {
        say!("steady: at least {least} bytes more than at the start, {SLACK} allowed: FAILED");
        return ExitCode::FAILURE;
    }
    say!("steady: the live heap returned to its start: passed");
    ExitCode::SUCCESS
}

/// What is left behind at the end, of all readings.
fn left_behind(grown: &[i64]) -> i64 {
    let last = grown.iter().rev().take(LAST);
    last.copied().min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    #[test]
    fn a_leak_that_begins_late_is_one() {
        assert!(left_behind(&[0, 0, 0, MIB, MIB, MIB, MIB]) > SLACK);
        assert!(left_behind(&[0, 0, 0, 0, MIB, MIB, MIB]) > SLACK);
    }

    #[test]
    fn a_leak_of_little_an_operation_adds_up() {
        assert!(left_behind(&[4096, 8192, 12288, 16384, 20480, 20544, 20608]) > SLACK);
    }

    #[test]
    fn what_is_held_for_a_moment_is_no_leak() {
        assert!(left_behind(&[1024, 1024, MIB, 1024, MIB, 1024, 1024]) <= SLACK);
    }
}
