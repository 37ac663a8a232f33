//! Summary: what the blocks of a record say together, as tables in the terminal.
//!
//! Promise: where the cores were is said with each table, and how many rounds were left out.
//! Cost: none while anything is measured.

use plunge_peers::harness::{CASES, Case, Side};
use plunge_peers::say;

use crate::record::{Exact, Line};
use crate::rows::{OURS, Part, parts, scaling};

/// Prints a table a case, then the counts and the bars.
pub fn print(lines: &[Line]) {
    for case in CASES {
        let parts = parts(lines, case.name);
        if parts.blocks > 0 {
            say!("\n### {}: {}", case.name, case.isolates);
        }
        if parts.left_out > 0 {
            say!(
                "\nleft out: {} of {} blocks, during which the cores moved or were shared",
                parts.left_out,
                parts.blocks
            );
        }
        for part in &parts.parts {
            print_part(case, part);
        }
    }
    for line in lines {
        if let Some(exact) = line.exact() {
            let Exact {
                subject,
                what,
                number,
            } = exact;
            say!("counted: {subject}: {number:.2} {what}");
        } else if let Line::Bar { verdict } = line {
            say!("bar: {verdict}");
        }
    }
    for line in scaling(lines) {
        say!("scaling: {line}");
    }
}

fn print_part(case: &Case, part: &Part<'_>) {
    let ((_, unit), rows) = (case.in_unit(1.0), &part.rows);
    match part.side {
        Side::Any => say!("\n{} rounds\n", part.blocks),
        side => say!("\n{} blocks, cores {}\n", part.blocks, side.name()),
    }
    say!(
        "| subject | {unit} [least, most] | {OURS} is faster by | p50 µs | p95 µs | p99 µs | max µs | min/max |"
    );
    say!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let ours = part.row(OURS);
    for row in rows {
        let (middle, least, most) = row.time();
        let number = |ns| case.in_unit(ns).0;
        let (low, high) = match case.less_is_better() {
            true => (number(least), number(most)),
            false => (number(most), number(least)),
        };
        let ratio = ours.map_or(f64::NAN, |ours| ours.speed_over(row));
        let wait = |at| {
            row.wait(at)
                .map_or(String::from(" "), |wait| format!("{wait:.1}"))
        };
        say!(
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
