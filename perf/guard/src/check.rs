//! Check: what is built now against what was recorded.
//!
//! Promise: a count fails if it rose; a ratio fails if it is beyond its fence in each of up to eight
//! measurements spread over four minutes, so that a neighbour who comes and goes fails nothing: one slowed a hit by
//! half and its reference not at all, for two minutes, with no load to be seen. Every
//! message says which case, by how much, since which commit, and what to run.
//! Cost: half a minute, and four where something stays beyond its fence.

use crate::Failure;
use crate::arguments::CheckOptions;
use crate::baseline::Baseline;
use crate::counts::{Counted, count_all, count_cases};
use crate::cycles::names;
use crate::harness::Place;
use crate::looks::look;
use crate::ratios::{REFERENCES, measure};
use crate::rise::check_counts;
use crate::say;

/// Seconds before each measurement of what is beyond its fence; after the last one it is believed.
pub const PAUSES: [u64; 8] = [0, 1, 5, 10, 15, 25, 60, 90];

/// Checks everything, or what is named, and prints what it saw.
pub fn run(options: &CheckOptions, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
    if baseline.counts.is_empty() {
        return Err(Failure::Input(String::from(
            "there are no counts to hold against: run `cargo run --release -p guard -- record`",
        )));
    }
    let (counted, timed) = chosen(&options.cases)?;
    say!("guard: counts, held to the last recorded (instructions to 1 to 4 %)");
    let Counted { counts, mut failed } = match options.cases.is_empty() {
        true => count_all(&counted, options.plant)?,
        false => count_cases(&counted, options.plant)?,
    };
    let mut rose = check_counts(&counts, baseline, &place, true);
    if !options.counts_only {
        say!("guard: ratios to a reference in turns, held by a fence from their history");
        let beyond = look(&timed, &PAUSES, measure, baseline, &place);
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
            say!("guard: nothing rose: passed");
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
