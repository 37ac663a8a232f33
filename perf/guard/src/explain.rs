//! Explain: a case's history and its fence, in the terminal.
//!
//! Promise: every recorded value, oldest first, with its commit; the fence as a mark on each line.
//! Cost: none.

use crate::Failure;
use crate::baseline::Baseline;
use crate::cycles::CASES;
use crate::fence::{Fence, fence};
use crate::harness::{Case, Place};

/// Columns of a plot.
const WIDTH: usize = 48;

/// Shows a case.
pub fn run(case: &str, baseline: &Baseline) -> Result<(), Failure> {
    let place = Place::here();
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
        println!("{case}: {is}");
    }
    for measure in counts {
        show_count(case, measure, baseline);
    }
    for measure in ratios {
        show_ratio(case, measure, baseline, &place);
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
    println!("\n{case} {measure}: may not rise above its last line");
    let lines = baseline.counts.iter();
    let lines: Vec<_> = lines
        .filter(|line| line.case == case && line.measure == measure)
        .collect();
    let most = lines.iter().map(|line| line.value).fold(0.0, f64::max);
    for line in lines {
        println!(
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
        Some(Fence { middle, limit }) => println!(
            "\n{case} {measure}: median {middle:.3}, fence {limit:.3} (marked !), of the newest {} runs: since it \
             last moved, on this kind of processor",
            history.len()
        ),
        None => println!("\n{case} {measure}: too few runs on this kind of processor for a fence"),
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
            println!(
                "  {value:>10.3} {}| {}",
                bar(*value, most, limit),
                line.commit
            );
        }
    }
    if !elsewhere.is_empty() {
        let runs: usize = elsewhere.iter().map(|line| line.values.len()).sum();
        println!("  and {runs} runs on other processors: not shown, no part of the fence");
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
