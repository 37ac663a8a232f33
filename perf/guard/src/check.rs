//! Check: what is built now against what was recorded.
//!
//! Promise: a count fails if it rose; a ratio fails if it is beyond its fence in each of up to six
//! measurements spread over a minute, so that a neighbour who comes and goes fails nothing. Every
//! message says which case, by how much, since which commit, and what to run.
//! Cost: about a minute, and another one where something stays beyond its fence.

use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

use crate::Failure;
use crate::arguments::CheckOptions;
use crate::baseline::{Baseline, Place};
use crate::counts::{Count, Counted, count_all, count_cases};
use crate::cycles::{CASES, names};
use crate::fence::{Fence, LEAST_HISTORY, fence};
use crate::ratios::{REFERENCES, Ratio, measure};

/// Seconds before each measurement of what is beyond its fence; after the last one it is believed.
const PAUSES: [u64; 6] = [0, 1, 5, 10, 15, 25];
/// Measurements in which a ratio must have been beyond its fence.
const BELIEVED: usize = 3;
/// What a count of instructions may differ by with another compiler than the baseline's.
const OTHER_COMPILER: f64 = 0.10;
/// Instructions that are rounding: a tenth is what a count is given to.
const ROUNDING: f64 = 0.5;

/// Checks everything, or what is named, and prints what it saw.
pub fn run(options: &CheckOptions, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
    if baseline.counts.is_empty() {
        return Err(Failure::Input(String::from(
            "there are no counts to hold against: run `cargo run --release -p guard -- record`",
        )));
    }
    let (counted, timed) = chosen(&options.cases)?;
    println!("guard: counts, held to the last recorded (instructions to 1 or 2 %)");
    let Counted { counts, mut failed } = match options.cases.is_empty() {
        true => count_all(&counted, options.plant)?,
        false => count_cases(&counted, options.plant)?,
    };
    let mut rose = check_counts(&counts, baseline, &place, true);
    if !options.counts_only {
        println!("guard: ratios to a reference in turns, held by a fence from their history");
        let beyond = check_cases(&timed, baseline, &place);
        rose.extend(beyond.rose);
        failed.extend(beyond.failed);
    }
    verdict(&rose, &failed)
}

/// What is counted and what is timed of the cases that are named.
fn chosen(named: &[String]) -> Result<(Vec<&'static str>, Vec<&'static str>), Failure> {
    let is_wanted = |case: &&str| named.is_empty() || named.iter().any(|name| name == case);
    let timed = || REFERENCES.iter().map(|(case, _)| *case);
    let known: Vec<&str> = names().into_iter().chain(timed()).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(&name.as_str())) {
        let mut known = known;
        known.sort_unstable();
        known.dedup();
        return Err(Failure::Input(format!(
            "there is no case '{unknown}'; there are: {}",
            known.join(", ")
        )));
    }
    Ok((
        names().into_iter().filter(is_wanted).collect(),
        timed().filter(is_wanted).collect(),
    ))
}

fn verdict(rose: &[String], failed: &[String]) -> Result<(), Failure> {
    for text in failed {
        eprintln!("guard: not measured: {text}");
    }
    match (rose.len(), failed.len()) {
        (0, 0) => {
            println!("guard: nothing rose: passed");
            Ok(())
        }
        (0, count) => Err(Failure::Input(format!(
            "nothing rose, but {count} could not be measured: FAILED"
        ))),
        (count, _) => Err(Failure::Regression(format!(
            "{count} rose: FAILED\n  {}",
            rose.join("\n  ")
        ))),
    }
}

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
            println!("  {name}: {now} (baseline {}){note}", line.value);
        }
        if now > allowed {
            failures.push(format!(
                "{name}: {now}, was {} ({}) since {}: {}. If it has to be: `cargo run --release -p guard \
                 -- record --reason \"...\"` in the same commit",
                line.value,
                change(now, line.value),
                line.commit,
                advice(count.measure)
            ));
        }
    }
    failures
}

fn slack(case: &str) -> f64 {
    let counted = CASES.iter().find(|counted| counted.name == case);
    counted.map_or(0.0, |counted| counted.slack)
}

/// By how much, in words.
fn change(now: f64, was: f64) -> String {
    match was == 0.0 {
        true => format!("+{now}"),
        false => format!("{:+.1} %", (now / was - 1.0) * 100.0),
    }
}

fn advice(measure: &str) -> &'static str {
    match measure {
        "instructions" => {
            "see where with `valgrind --tool=callgrind target/release/guard cycles CASE 20000`"
        }
        "allocations" => {
            "see where with `valgrind --tool=dhat target/release/guard cycles CASE 20000`"
        }
        "bytes" => "see what the type holds with `cargo rustc -- -Zprint-type-sizes`",
        _ => "see what came with `scripts/deps.sh`",
    }
}

/// What was seen of a ratio so far.
struct Known {
    case: &'static str,
    name: String,
    /// How often it was beyond its fence.
    beyond: usize,
    /// Whether it was ever within.
    is_clear: bool,
    /// What to say of it.
    text: String,
}

/// What the ratios gave.
#[derive(Default)]
pub struct Beyond {
    /// What stayed beyond its fence.
    pub rose: Vec<String>,
    /// What could not be measured.
    pub failed: Vec<String>,
}

/// Measures these cases, then, after a pause, those that were beyond their fences; gives what was
/// beyond in all measurements of it, and in three at least: a crowd is not always measured on the side
/// where it was beyond. A case that panics takes nothing from the others.
pub fn check_cases(cases: &[&str], baseline: &Baseline, place: &Place) -> Beyond {
    let references = REFERENCES.iter();
    let mut left: Vec<_> = references
        .filter(|(case, _)| cases.contains(case))
        .collect();
    let (mut known, mut failed): (Vec<Known>, Vec<String>) = (Vec::new(), Vec::new());
    for pause in PAUSES {
        if pause > 0 {
            println!("  measured again, {pause} s later, what is beyond its fence");
            thread::sleep(Duration::from_secs(pause));
        }
        for (case, reference) in &left {
            let Ok(ratios) = catch_unwind(|| measure(case)) else {
                failed.push(format!("{case}: it panicked: see above"));
                continue;
            };
            for seen in check_ratios(&ratios, reference, baseline, place) {
                take_down(&mut known, case, seen);
            }
        }
        let is_open = |case: &str| known.iter().any(|one| one.case == case && !one.is_clear);
        left.retain(|(case, _)| is_open(case));
        if left.is_empty() {
            break;
        }
    }
    let believed = known.into_iter();
    let believed = believed.filter(|one| !one.is_clear && one.beyond >= BELIEVED);
    Beyond {
        rose: believed.map(|one| one.text).collect(),
        failed,
    }
}

fn take_down(known: &mut Vec<Known>, case: &'static str, seen: Seen) {
    let at = known.iter().position(|one| one.name == seen.name);
    let at = at.unwrap_or_else(|| {
        known.push(Known {
            case,
            name: seen.name,
            beyond: 0,
            is_clear: false,
            text: String::new(),
        });
        known.len() - 1
    });
    match seen.beyond {
        Some(text) => (known[at].beyond, known[at].text) = (known[at].beyond + 1, text),
        None => known[at].is_clear = true,
    }
}

/// What was seen of one ratio.
pub struct Seen {
    /// The case and the measure.
    pub name: String,
    /// What to say if it is beyond its fence.
    pub beyond: Option<String>,
}

/// Holds ratios against their fences; those without one are shown and nothing is returned of them.
pub fn check_ratios(
    ratios: &[Ratio],
    reference: &str,
    baseline: &Baseline,
    place: &Place,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for ratio in ratios {
        let history = baseline.history(ratio.case, ratio.measure, place);
        let name = format!("{} {}", ratio.case, ratio.measure);
        let Some(Fence { middle, limit }) = fence(ratio.measure, &history) else {
            println!(
                "  {name}: {:.3} of {reference} ({:.1} ns a cycle): {} recorded on this kind of processor, \
                 {LEAST_HISTORY} needed: not gated",
                ratio.value,
                ratio.ours_ns,
                history.len()
            );
            continue;
        };
        println!(
            "  {name}: {:.3} of {reference} (median {middle:.3}, fence {limit:.3}; {:.1} ns a cycle)",
            ratio.value, ratio.ours_ns
        );
        let beyond = (ratio.value > limit).then(|| {
            format!(
                "{name}: {:.3} of {reference}, {} over the median of {} recorded runs, last at {}; the fence \
                 is {limit:.3}: `cargo run --release -p guard -- explain {}` shows its history, `scripts/bench` \
                 measures beside the floors",
                ratio.value,
                change(ratio.value, middle),
                history.len(),
                baseline.last_commit(ratio.case, ratio.measure),
                ratio.case
            )
        });
        seen.push(Seen { name, beyond });
    }
    seen
}
