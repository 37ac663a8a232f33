//! Record: appends what is built now to the baselines.
//!
//! Promise: never rewrites a line. A count is appended where it changed; one that rose needs a
//! reason. Ratios are appended each time, case by case: they are the history that the fence is made of, and one that
//! panics takes nothing from the others.
//! Cost: a minute, and ten seconds a run of the ratios.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Failure;
use crate::arguments::RecordOptions;
use crate::baseline::{Baseline, CountLine, RatioLine};
use crate::counts::{Count, count_all};
use crate::cycles::{CASES, names};
use crate::harness::{Place, median};
use crate::plant::Plant;
use crate::ratios::{REFERENCES, beside_a_busy_core, measure};
use crate::say;

/// Records.
pub fn run(options: &RecordOptions, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
    if !options.ratios_only {
        let counts = counts(options, baseline, &place)?;
        baseline.append_counts(&counts)?;
        say!("guard: {} counts recorded", counts.len());
    }
    if !options.counts_only {
        let lost = record_ratios(options.runs, baseline, &place)?;
        if !lost.is_empty() {
            return Err(Failure::Input(format!(
                "the other ratios are recorded, but it panicked in {}: see above: FAILED",
                lost.join(", ")
            )));
        }
    }
    Ok(())
}

/// Appends each case's ratios as soon as it has played; returns those that panicked.
fn record_ratios(
    runs: usize,
    baseline: &Baseline,
    place: &Place,
) -> Result<Vec<&'static str>, Failure> {
    let (mut lost, mut recorded) = (Vec::new(), 0);
    for (case, _) in REFERENCES {
        match catch_unwind(AssertUnwindSafe(|| ratios(case, runs, place))) {
            Ok(lines) => {
                baseline.append_ratios(&lines)?;
                recorded += lines.len();
            }
            Err(_) => lost.push(*case),
        }
    }
    say!("guard: {runs} runs of {recorded} ratios recorded");
    Ok(lost)
}

fn counts(
    options: &RecordOptions,
    baseline: &Baseline,
    place: &Place,
) -> Result<Vec<CountLine>, Failure> {
    let mut lines = Vec::new();
    let counted = count_all(&names(), Plant::Nothing)?;
    if let Some(failed) = counted.failed.first() {
        return Err(Failure::Input(format!("{failed}: nothing is recorded")));
    }
    for count in counted.counts {
        let was = baseline.count(&count.case, count.measure);
        let same_compiler = was.is_some_and(|line| line.compiler == place.compiler);
        if was.is_some_and(|line| is_same(line, &count)) && same_compiler {
            continue;
        }
        let rose = was.is_some_and(|line| count.value > line.value);
        let reason = match (&options.reason, was) {
            (_, None) => String::from("first recorded"),
            (Some(reason), _) => reason.clone(),
            (_, Some(_)) if !rose => String::from("fell"),
            (None, Some(line)) => {
                return Err(Failure::Input(format!(
                    "{} {} rose from {} to {}: say why with --reason \"...\"",
                    count.case, count.measure, line.value, count.value
                )));
            }
        };
        say!(
            "  {} {}: {}: {reason}",
            count.case,
            count.measure,
            count.value
        );
        lines.push(CountLine {
            case: count.case,
            measure: count.measure.to_owned(),
            value: count.value,
            commit: place.commit.clone(),
            compiler: place.compiler.clone(),
            reason,
        });
    }
    Ok(lines)
}

/// Whether what was counted is what the line says, as far as the case repeats at all.
fn is_same(line: &CountLine, count: &Count) -> bool {
    let counted = CASES.iter().find(|counted| counted.name == count.case);
    let slack = counted.map_or(0.0, |counted| counted.slack);
    let near = match count.measure {
        "instructions" => line.value * slack + 0.25,
        _ => 0.0,
    };
    (line.value - count.value).abs() <= near
}

fn ratios(case: &str, runs: usize, place: &Place) -> Vec<RatioLine> {
    // Every second run beside a busy core: what is checked may run on such a machine too.
    let measured: Vec<_> = (0..runs)
        .map(|run| match run % 2 {
            0 => measure(case),
            _ => beside_a_busy_core(|| measure(case)),
        })
        .collect();
    let mut measures: Vec<&str> = Vec::new();
    for ratio in measured.iter().flatten() {
        if !measures.contains(&ratio.measure) {
            measures.push(ratio.measure);
        }
    }
    let line = |measure: &str| {
        let of = measured.iter().flatten();
        let of = of.filter(|ratio| ratio.measure == measure);
        let values = of.clone().map(|ratio| (ratio.value * 1e4).round() / 1e4);
        let times = of.map(|ratio| ratio.ours_ns).collect();
        RatioLine {
            case: case.to_owned(),
            measure: measure.to_owned(),
            values: values.collect(),
            ours_ns: (median(times) * 100.0).round() / 100.0,
            commit: place.commit.clone(),
            compiler: place.compiler.clone(),
            cpu: place.cpu.clone(),
            cores: place.cores,
        }
    };
    measures.into_iter().map(line).collect()
}
