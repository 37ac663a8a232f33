//! Rise: counts held to the last line that was recorded of them.
//!
//! Promise: a count fails if it rose, and only then; instructions have the slack that their case and
//! another compiler ask for. The message says which case, by how much, since which commit, and what to run.
//! Cost: none.

use crate::baseline::Baseline;
use crate::counts::Count;
use crate::cycles::CASES;
use crate::harness::Place;
use crate::say;

/// What a count of instructions may differ by with another compiler than the baseline's.
const OTHER_COMPILER: f64 = 0.10;
/// Instructions that are rounding: a tenth is what a count is given to.
const ROUNDING: f64 = 0.5;

/// Holds counts against the baseline; returns what rose.
pub fn check_counts(
    counts: &[Count],
    baseline: &Baseline,
    place: &Place,
    show: bool,
) -> Vec<String> {
    let mut failures = Vec::new();
    for count in counts {
        let (name, now) = (format!("{} {}", count.case, count.measure), count.value);
        let Some(line) = baseline.count(&count.case, count.measure) else {
            failures.push(format!(
                "{name}: {now}, and no baseline: run `cargo run --release -p guard -- record --counts-only`"
            ));
            continue;
        };
        let same = line.compiler == place.compiler || count.measure != "instructions";
        let allowed = match (same, count.measure) {
            (false, _) => line.value * (1.0 + OTHER_COMPILER),
            (true, "instructions") => line.value * (1.0 + slack(&count.case)) + ROUNDING,
            (true, _) => line.value,
        };
        let least = line.value * (1.0 - slack(&count.case)) - ROUNDING;
        let note = match (same, now < least) {
            (false, _) => " (another compiler: a tenth is allowed)",
            (true, true) => " (fell: record it)",
            (true, false) => "",
        };
        if show {
            say!("  {name}: {now} (baseline {}){note}", line.value);
        }
        if now > allowed {
            failures.push(format!(
                "{name}: {now}, was {} ({}) since {}: {}. If it has to be: `cargo run --release -p guard \
                 -- record --counts-only --reason \"...\"` in the same commit",
                line.value,
                change(now, line.value),
                line.commit,
                advice(&count.case, count.measure)
            ));
        }
    }
    failures
}

fn slack(case: &str) -> f64 {
    let counted = CASES.iter().find(|counted| counted.name == case);
    counted.map_or(0.0, |counted| counted.slack)
}

fn advice(case: &str, measure: &str) -> String {
    let tool = match measure {
        "instructions" => "callgrind",
        "allocations" => "dhat",
        "bytes" => {
            return String::from(
                "see what the type holds with `cargo rustc -- -Zprint-type-sizes`",
            );
        }
        _ => return String::from("see what came with `scripts/deps.sh`"),
    };
    format!("see where with `valgrind --tool={tool} target/release/guard cycles {case} 20000`")
}

/// By how much, in words.
pub fn change(now: f64, was: f64) -> String {
    match was == 0.0 {
        true => format!("+{now}"),
        false => format!("{:+.1} %", (now / was - 1.0) * 100.0),
    }
}
