//! Selftest: the guard against planted regressions, and against itself.
//!
//! Promise: each kind of regression must fail by the measure that is there for it; unchanged runs
//! must pass while another thread keeps a core busy.
//! Cost: half a minute, and some ten seconds an unchanged run.

use crate::Failure;
use crate::baseline::{Baseline, Place};
use crate::check::{check_case, check_counts, check_ratios};
use crate::counts::count_cases;
use crate::harness::{QueuePair, Subject};
use crate::plant::Plant;
use crate::ratios::{REFERENCES, beside_a_busy_core, measure_planted};

/// What is planted, and the measure that has to see it.
const PLANTED: &[(Plant, &str)] = &[
    (Plant::Allocation, "allocations"),
    (Plant::Instructions, "instructions"),
    (Plant::Lock, "p50"),
    (Plant::Clock, "p50"),
    (Plant::Tail, "p95"),
];

/// Runs both halves.
pub fn run(runs: usize) -> Result<(), Failure> {
    let (baseline, place) = (Baseline::read()?, Place::here());
    let mut unseen = Vec::new();
    for (plant, by) in PLANTED {
        let found = found(*plant, &baseline, &place)?;
        let seen = found
            .iter()
            .any(|failure| failure.starts_with(&format!("hit {by}")));
        println!(
            "selftest: planted {plant:?}: {}",
            if seen { "seen" } else { "NOT SEEN" }
        );
        for failure in &found {
            println!(
                "    {}",
                failure.split(": ").take(2).collect::<Vec<_>>().join(": ")
            );
        }
        if !seen {
            unseen.push(format!("{plant:?} by {by}"));
        }
    }
    if !unseen.is_empty() {
        return Err(Failure::Regression(format!(
            "planted and not seen: {}: FAILED (is there a history of this processor? `guard record`)",
            unseen.join(", ")
        )));
    }
    unchanged(runs, &baseline, &place)?;
    println!(
        "selftest: {} planted and seen, {runs} unchanged runs: passed",
        PLANTED.len()
    );
    Ok(())
}

/// What the guard says of a plant.
fn found(plant: Plant, baseline: &Baseline, place: &Place) -> Result<Vec<String>, Failure> {
    match plant {
        Plant::Allocation | Plant::Instructions => {
            let counts = count_cases(&["hit"], plant)?;
            Ok(check_counts(&counts, baseline, place, false))
        }
        _ => {
            let ratios = measure_planted(plant);
            Ok(check_ratios(&ratios, QueuePair::NAME, baseline, place))
        }
    }
}

/// Checks the ratios of what is unchanged, with a core kept busy.
fn unchanged(runs: usize, baseline: &Baseline, place: &Place) -> Result<(), Failure> {
    let failed = beside_a_busy_core(|| {
        let mut failed = Vec::new();
        for run in 1..=runs {
            println!("selftest: unchanged run {run} of {runs}, one core kept busy");
            for (case, reference) in REFERENCES {
                let beyond = check_case(case, reference, baseline, place);
                failed.extend(beyond.into_iter().map(|text| format!("run {run}: {text}")));
            }
        }
        failed
    });
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Regression(format!(
            "unchanged and failed: FAILED\n  {}",
            failed.join("\n  ")
        ))),
    }
}
