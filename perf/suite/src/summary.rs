//! Summary: what the blocks of a record say together.
//!
//! Promise: medians over rounds with their spread; ratios are taken inside each round, between
//! neighbours.
//! Cost: none while anything is measured.

use std::collections::BTreeMap;

use plunge_peers::harness::{CASES, Case, Shape, median};

use crate::record::{Block, Line};

/// The subject that ratios refer to.
pub const OURS: &str = "plunge";

/// One subject in one case.
pub struct Row<'a> {
    pub subject: &'a str,
    pub blocks: Vec<&'a Block>,
}

impl Row<'_> {
    /// The median time of a cycle, with the fastest and the slowest, in nanoseconds.
    pub fn time(&self) -> (f64, f64, f64) {
        let times = || self.blocks.iter().map(|block| block.ns_per_cycle);
        let least = times().fold(f64::INFINITY, f64::min);
        (
            median(times().collect()),
            least,
            times().fold(0.0, f64::max),
        )
    }

    /// Each percentile's median over rounds, in microseconds.
    pub fn waits(&self) -> Vec<(f64, f64)> {
        let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (percentile, nanos) in self.blocks.iter().flat_map(|block| &block.waits) {
            let key = (percentile * 100.0).round() as u64;
            at.entry(key).or_default().push(*nanos as f64 / 1e3);
        }
        at.into_iter()
            .map(|(key, waits)| (key as f64 / 100.0, median(waits)))
            .collect()
    }

    /// The median wait at one percentile, in microseconds.
    pub fn wait(&self, percentile: f64) -> Option<f64> {
        let waits = self.waits();
        let found = waits.iter().find(|(at, _)| (at - percentile).abs() < 0.001);
        found.map(|(_, wait)| *wait)
    }

    /// The median over rounds of the slowest task's cycles over the fastest's.
    pub fn evenness(&self) -> f64 {
        median(self.blocks.iter().map(|block| block.evenness).collect())
    }

    /// How many times less time it needs a cycle than `other`, round by round.
    pub fn speed_over(&self, other: &Row<'_>) -> f64 {
        let ratio = |mine: &&Block| {
            let theirs = other
                .blocks
                .iter()
                .find(|block| block.round == mine.round)?;
            Some(theirs.ns_per_cycle / mine.ns_per_cycle)
        };
        median(self.blocks.iter().filter_map(ratio).collect())
    }
}

/// The rows of a case, in the order in which subjects first played.
pub fn rows<'a>(lines: &'a [Line], case: &str) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for line in lines {
        let Line::Block(block) = line else { continue };
        if block.case != case {
            continue;
        }
        match rows.iter_mut().find(|row| row.subject == block.subject) {
            Some(row) => row.blocks.push(block),
            None => rows.push(Row {
                subject: &block.subject,
                blocks: vec![block],
            }),
        }
    }
    rows
}

/// A time of a cycle as a reader wants it in this case: the number, and its unit.
pub fn in_unit(case: &Case, ns_per_cycle: f64) -> (f64, &'static str) {
    match case.shape {
        Shape::Solo => (ns_per_cycle, "ns a cycle"),
        Shape::Spike | Shape::Burst => (ns_per_cycle / 1e6, "ms a burst"),
        Shape::Sleeps | Shape::Arrivals => (1e6 / ns_per_cycle, "thousand cycles/s"),
        _ => (1e3 / ns_per_cycle, "million cycles/s"),
    }
}

/// Whether a smaller number is the better one in this case's unit.
pub fn less_is_better(case: &Case) -> bool {
    matches!(case.shape, Shape::Solo | Shape::Spike | Shape::Burst)
}

/// Prints a table a case, then the counts and the bars.
pub fn print(lines: &[Line]) {
    for case in CASES {
        let rows = rows(lines, case.name);
        if !rows.is_empty() {
            print_case(case, &rows);
        }
    }
    for line in lines {
        match line {
            Line::Count {
                subject,
                what,
                per_cycle,
            } => println!("count: {subject}: {per_cycle:.2} {what} a cycle"),
            Line::Weight {
                subject,
                bytes_per_connection,
            } => println!("weight: {subject}: {bytes_per_connection:.0} bytes an idle connection"),
            Line::Bar { verdict } => println!("bar: {verdict}"),
            _ => {}
        }
    }
}

fn print_case(case: &Case, rows: &[Row<'_>]) {
    let (_, unit) = in_unit(case, 1.0);
    println!("\n### {}: {}\n", case.name, case.isolates);
    println!(
        "| subject | {unit} [least, most] | {OURS} is faster by | p50 µs | p95 µs | p99 µs | max µs | min/max |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let ours = rows.iter().find(|row| row.subject == OURS);
    for row in rows {
        let (middle, least, most) = row.time();
        let number = |ns| in_unit(case, ns).0;
        let (low, high) = match less_is_better(case) {
            true => (number(least), number(most)),
            false => (number(most), number(least)),
        };
        let ratio = ours.map_or(f64::NAN, |ours| ours.speed_over(row));
        let wait = |at| {
            row.wait(at)
                .map_or(String::from(" "), |wait| format!("{wait:.1}"))
        };
        println!(
            "| {} | {:.2} [{low:.2}, {high:.2}] | {ratio:.2}x | {} | {} | {} | {} | {:.2} |",
            row.subject,
            number(middle),
            wait(50.0),
            wait(95.0),
            wait(99.0),
            wait(100.0),
            row.evenness()
        );
    }
}
