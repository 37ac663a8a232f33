//! Explain: a case's history and its fence, in the terminal.
//!
//! Promise: every recorded value, oldest first, with its commit; the fence as a mark on each line. Without a
//! case: each ratio's fence, and the least regression that it catches.
//! Cost: none.

use crate::Failure;
use crate::baseline::Baseline;
use crate::cycles::CASES;
use crate::fence::{Fence, fence};
use crate::harness::{Case, Place};
use crate::ratios::{MEASURES, REFERENCES};
use crate::say;

/// Columns of a plot.
const WIDTH: usize = 48;

/// Shows a case, or of all of them what they catch.
pub fn run(case: Option<&str>, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
    match case {
        Some(case) => show(case, baseline, &place),
        None => {
            show_all(baseline, &place);
            Ok(())
        }
    }
}

fn show_all(baseline: &Baseline, place: &Place) {
    say!("counts fail if they rise above their last line: `explain CASE` shows it");
    say!("ratios fail if they stay beyond their fences:");
    say!("| case | measure | beside | runs | median | fence | catches |");
    say!("| --- | --- | --- | --- | --- | --- | --- |");
    for (case, reference) in REFERENCES {
        let lines = baseline.ratios.iter().filter(|line| line.case == *case);
        let recorded = lines.map(|line| line.measure.as_str());
        let measures = distinct(recorded.filter(|measure| MEASURES.contains(measure)));
        if measures.is_empty() {
            say!("| {case} | | {reference} | 0 | none yet | | |");
        }
        for measure in measures {
            let history = baseline.history(case, measure, place);
            let held = fence(measure, &history).map_or(String::from("none yet | | "), |fence| {
                format!(
                    "{:.3} | {:.3} | {:+.0} %",
                    fence.middle,
                    fence.limit,
                    fence.catches() * 100.0
                )
            });
            say!(
                "| {case} | {measure} | {reference} | {} | {held} |",
                history.len()
            );
        }
    }
}

fn show(case: &str, baseline: &Baseline, place: &Place) -> Result<(), Failure> {
    let counts: Vec<&str> = distinct(
        baseline
            .counts
            .iter()
            .filter(|line| line.case == case)
            .map(|line| line.measure.as_str()),
    );
    let ratios: Vec<&str> = distinct(
        baseline
            .ratios
            .iter()
            .filter(|line| line.case == case)
            .map(|line| line.measure.as_str()),
    );
    if counts.is_empty() && ratios.is_empty() {
        let mut names = distinct(baseline.counts.iter().map(|line| line.case.as_str()));
        names.extend(baseline.ratios.iter().map(|line| line.case.as_str()));
        return Err(Failure::Input(format!(
            "there is no case '{case}'; there are: {}",
            distinct(names.into_iter()).join(", ")
        )));
    }
    let counted = CASES.iter().find(|counted| counted.name == case);
    let crowd = || Case::named(case).map(|case| case.isolates);
    if let Some(is) = counted.map(|counted| counted.is).or_else(crowd) {
        say!("{case}: {is}");
    }
    if let Some((_, reference)) = REFERENCES.iter().find(|(name, _)| *name == case) {
        say!("{case}: timed beside {reference}");
    }
    for measure in counts {
        show_count(case, measure, baseline);
    }
    for measure in ratios {
        show_ratio(case, measure, baseline, place);
    }
    Ok(())
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn show_count(case: &str, measure: &str, baseline: &Baseline) {
    say!("\n{case} {measure}: may not rise above its last line");
    let lines = baseline.counts.iter();
    let lines: Vec<_> = lines
        .filter(|line| line.case == case && line.measure == measure)
        .collect();
    let most = lines.iter().map(|line| line.value).fold(0.0, f64::max);
    for line in lines {
        say!(
            "  {:>10} {}| {} ({})",
            line.value,
            bar(line.value, most, None),
            line.commit,
            line.reason
        );
    }
}

fn show_ratio(case: &str, measure: &str, baseline: &Baseline, place: &Place) {
    let history = baseline.history(case, measure, place);
    let fence = fence(measure, &history);
    match fence {
        _ if !MEASURES.contains(&measure) => say!("\n{case} {measure}: no longer measured"),
        Some(fence @ Fence { middle, limit }) => say!(
            "\n{case} {measure}: median {middle:.3}, fence {limit:.3} (marked !) {:+.0} % above it: what stays beyond \
             fails. Of the newest {} runs: since it last moved, on this kind of processor",
            fence.catches() * 100.0,
            history.len()
        ),
        None => say!("\n{case} {measure}: too few runs on this kind of processor for a fence"),
    }
    let limit = fence.map(|fence| fence.limit);
    let lines = baseline.ratios.iter();
    let (lines, elsewhere): (Vec<_>, Vec<_>) = lines
        .filter(|line| line.case == case && line.measure == measure)
        .partition(|line| line.cpu == place.cpu && line.cores == place.cores);
    let values = lines.iter().flat_map(|line| &line.values).copied();
    let most = values.chain(limit).fold(0.0, f64::max);
    for line in lines {
        for value in &line.values {
            say!(
                "  {value:>10.3} {}| {}",
                bar(*value, most, limit),
                line.commit
            );
        }
    }
    if !elsewhere.is_empty() {
        let runs: usize = elsewhere.iter().map(|line| line.values.len()).sum();
        say!("  and {runs} runs on other processors: not shown, no part of the fence");
    }
}

/// A bar of `value` on a line that ends at `most`, with a mark where the fence stands.
fn bar(value: f64, most: f64, fence: Option<f64>) -> String {
    let column = |number: f64| match most > 0.0 {
        true => (number / most * (WIDTH - 1) as f64).round() as usize,
        false => 0,
    };
    let mark = fence.map(column);
    (0..WIDTH)
        .map(
            |at| match (Some(at) == mark, at <= column(value) && value > 0.0) {
                (true, _) => '!',
                (false, true) => '#',
                (false, false) => ' ',
            },
        )
        .collect()
}
