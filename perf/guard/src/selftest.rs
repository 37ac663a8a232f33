//! Selftest: the guard against planted regressions, and against itself.
//!
//! Promise: each kind of regression must fail as `check` fails it, by the measure that is there for it,
//! and the same loop with nothing planted must not; unchanged runs, counts and ratios, must pass while
//! another thread keeps a core busy. On a kind of processor without a history, the fences of the planted
//! ones stand around some measurements made at once.
//! Cost: a minute, and half a minute an unchanged run.

use crate::Failure;
use crate::baseline::{Baseline, RatioLine};
use crate::check::PAUSES;
use crate::counts::count_cases;
use crate::cycles::names;
use crate::fence::LEAST_HISTORY;
use crate::harness::Place;
use crate::looks::{BELIEVED, look};
use crate::plant::Plant;
use crate::ratios::{REFERENCES, beside_a_busy_core, measure, measure_planted};
use crate::rise::check_counts;
use crate::say;

/// What is planted, and the measure that has to see it.
const PLANTED: &[(Plant, &str)] = &[
    (Plant::Allocation, "allocations"),
    (Plant::Instructions, "instructions"),
    (Plant::Lock, "p50"),
    (Plant::Clock, "p50"),
    (Plant::Tail, "p95"),
];

/// How often a plant may be tried: a neighbour can hide a fifth as well as feign it.
const ATTEMPTS: usize = 3;

/// In how many of as many attempts nothing at all may be taken for something: a neighbour may stay for one.
const FALSE_ALARMS: usize = 1;

/// Runs both halves.
pub fn run(runs: usize, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
    let fences = fences(baseline, &place);
    let mut unseen = Vec::new();
    for (plant, by) in PLANTED {
        if !is_seen(*plant, by, fences.as_ref().unwrap_or(baseline), &place)? {
            unseen.push(format!("{plant:?} by {by}"));
        }
    }
    if !is_calm(fences.as_ref().unwrap_or(baseline), &place)? {
        unseen.push(String::from("Nothing: taken for a regression"));
    }
    if !unseen.is_empty() {
        return Err(Failure::Regression(format!(
            "planted and not told apart: {}: FAILED: the fence is too wide or the plant too small: `cargo run \
             --release -p guard -- explain hit` shows the history",
            unseen.join(", ")
        )));
    }
    if runs > 0 && fences.is_some() {
        say!(
            "selftest: no history of this kind of processor: unchanged runs are held to counts alone"
        );
    }
    unchanged(runs, baseline, &place)?;
    say!(
        "selftest: {} planted and seen, {runs} unchanged runs: passed",
        PLANTED.len()
    );
    Ok(())
}

/// Where there is no history of this kind of processor: the baseline with one that is made now.
fn fences(baseline: &Baseline, place: &Place) -> Option<Baseline> {
    if baseline.history("hit", "p50", place).len() >= LEAST_HISTORY {
        return None;
    }
    say!("selftest: no history of this kind of processor: measuring one for the planted runs");
    let mut made = baseline.clone();
    for _ in 0..LEAST_HISTORY {
        for ratio in measure("hit") {
            made.ratios.push(RatioLine {
                case: ratio.case.to_owned(),
                measure: ratio.measure.to_owned(),
                values: vec![ratio.value],
                ours_ns: ratio.ours_ns,
                commit: place.commit.clone(),
                compiler: place.compiler.clone(),
                cpu: place.cpu.clone(),
                cores: place.cores,
            });
        }
    }
    Some(made)
}

/// Whether the measure that is there for a plant sees it.
fn is_seen(plant: Plant, by: &str, baseline: &Baseline, place: &Place) -> Result<bool, Failure> {
    for attempt in 1..=ATTEMPTS {
        let found = found(plant, baseline, place)?;
        let seen = found
            .iter()
            .any(|failure| failure.starts_with(&format!("hit {by}")));
        let verdict = if seen { "seen" } else { "NOT SEEN" };
        say!("selftest: planted {plant:?}, attempt {attempt}: {verdict}");
        for failure in &found {
            let words: Vec<_> = failure.split(": ").take(2).collect();
            say!("    {}", words.join(": "));
        }
        if seen {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether nothing is seen where nothing is planted.
fn is_calm(baseline: &Baseline, place: &Place) -> Result<bool, Failure> {
    let mut seen = 0;
    for attempt in 1..=ATTEMPTS {
        let calm = found(Plant::Nothing, baseline, place)?.is_empty();
        let verdict = if calm { "not seen" } else { "SEEN" };
        say!("selftest: planted nothing, attempt {attempt} of {ATTEMPTS}: {verdict}");
        seen += usize::from(!calm);
    }
    Ok(seen <= FALSE_ALARMS)
}

/// What the guard fails a plant for, as `check` fails it, without its pauses.
fn found(plant: Plant, baseline: &Baseline, place: &Place) -> Result<Vec<String>, Failure> {
    match plant {
        Plant::Allocation | Plant::Instructions => {
            let counted = count_cases(&["hit"], plant)?;
            Ok(check_counts(&counted.counts, baseline, place, false))
        }
        _ => {
            let planted = |_: &str| measure_planted(plant);
            Ok(look(&["hit"], &[0; BELIEVED], planted, baseline, place).rose)
        }
    }
}

/// Checks all that is unchanged, with a core kept busy.
fn unchanged(runs: usize, baseline: &Baseline, place: &Place) -> Result<(), Failure> {
    let failed = beside_a_busy_core(|| {
        let mut failed = Vec::new();
        for run in 1..=runs {
            say!("selftest: unchanged run {run} of {runs}, one core kept busy");
            let counted = count_cases(&names(), Plant::Nothing)?;
            let rose = check_counts(&counted.counts, baseline, place, true);
            let cases: Vec<&str> = REFERENCES.iter().map(|(case, _)| *case).collect();
            let beyond = look(&cases, &PAUSES, measure, baseline, place);
            let said = rose.into_iter().chain(counted.failed);
            let said = said.chain(beyond.rose).chain(beyond.failed);
            failed.extend(said.map(|text| format!("run {run}: {text}")));
        }
        Ok(failed)
    })?;
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Regression(format!(
            "unchanged and failed: FAILED\n  {}",
            failed.join("\n  ")
        ))),
    }
}
