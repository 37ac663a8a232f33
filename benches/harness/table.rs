//! Table: medians over rounds, with their spread, and ratios taken inside each round.
//!
//! Promise: a ratio compares blocks that ran next to each other on cores equally far apart, never two
//! medians of different minutes; the spread is shown beside every median.
//! Cost: none while a case runs.

use super::{Case, Group, Outcome, Played, Row, Shape, Side};

/// The median of some numbers; the mean of the middle two if they are even in number.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => numbers[middle],
        _ => (numbers[middle - 1] + numbers[middle]) / 2.0,
    }
}

/// How many times less time `subject` needs a cycle than `other`, as the median over rounds.
pub fn speed_ratio(subject: &[Outcome], other: &[Outcome]) -> f64 {
    ratio(subject, other, |outcome| outcome.ns_per_cycle)
}

/// How many times smaller `subject`'s number is than `other`'s, as the median over the rounds of both.
pub fn ratio(subject: &[Outcome], other: &[Outcome], number: impl Fn(&Outcome) -> f64) -> f64 {
    let ratios = subject.iter().filter_map(|mine| {
        let theirs = other.iter().find(|theirs| theirs.round == mine.round)?;
        Some(number(theirs) / number(mine))
    });
    median(ratios.collect())
}

/// The median over rounds of one number of each outcome.
pub fn median_of(outcomes: &[Outcome], number: impl Fn(&Outcome) -> f64) -> f64 {
    median(outcomes.iter().map(number).collect())
}

/// Prints one case as a Markdown table for each side that the cores were on. `ours` is the row that
/// ratios refer to.
pub fn print(case: &Case, played: &Played, ours: &str) {
    say!("\n### {}: {}", case.name, case.isolates);
    let (all, left_out) = played.left_out();
    if left_out > 0 {
        say!("\nleft out: {left_out} of {all} blocks, during which the cores moved or were shared");
    }
    for group in played.groups() {
        print_group(case, &group, ours);
    }
}

fn print_group(case: &Case, group: &Group, ours: &str) {
    let place = match group.side {
        Side::Any => String::new(),
        side => format!("; cores {}", side.name()),
    };
    say!(
        "\n{} task(s) over {} object(s), {} worker(s); median [fastest, slowest] of {} blocks{place}\n",
        case.tasks,
        case.size,
        case.workers.max(1),
        group.blocks,
    );
    let unit = case.in_unit(1.0).1;
    let head = format!("| subject | {unit} | speed, {ours} = 1 |");
    match case.shape.has_waits() {
        true => say!(
            "{head} p50 wait µs | p95 wait µs | p99 wait µs | max wait µs | min/max cycles a task |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |"
        ),
        false => say!("{head}\n| --- | --- | --- |"),
    }
    print_rows(case, &group.rows, ours);
    if case.shape == Shape::Burst {
        say!("\n| subject | openings a burst |\n| --- | --- |");
        for row in group.rows.iter().filter(|row| row.failure.is_none()) {
            let opened = median_of(&row.outcomes, |outcome| outcome.opened);
            say!("| {} | {opened:.1} |", row.name);
        }
    }
}

fn print_rows(case: &Case, rows: &[Row], ours: &str) {
    let base = rows.iter().find(|row| row.name == ours);
    for row in rows {
        if let Some(failure) = &row.failure {
            say!("| {} | FAILED: {failure} |", row.name);
            continue;
        }
        let ratio = base.map_or(f64::NAN, |base| speed_ratio(&row.outcomes, &base.outcomes));
        say!(
            "| {} | {} | {ratio:.2} |{}",
            row.name,
            speed(case, &row.outcomes),
            waits(case, &row.outcomes)
        );
    }
}

fn speed(case: &Case, outcomes: &[Outcome]) -> String {
    let times = outcomes.iter().map(|outcome| outcome.ns_per_cycle);
    let numbers: Vec<f64> = times.map(|ns| case.in_unit(ns).0).collect();
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(0.0, f64::max);
    let (fastest, slowest) = match case.less_is_better() {
        true => (least, most),
        false => (most, least),
    };
    format!("{:.2} [{fastest:.2}, {slowest:.2}]", median(numbers))
}

fn waits(case: &Case, outcomes: &[Outcome]) -> String {
    if !case.shape.has_waits() {
        return String::new();
    }
    let at = |quantile: f64| {
        median_of(outcomes, |outcome| {
            outcome.waits.value_at_quantile(quantile) as f64 / 1e3
        })
    };
    format!(
        " {:.1} | {:.1} | {:.1} | {:.0} | {:.2} |",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        median_of(outcomes, |outcome| outcome.evenness)
    )
}
