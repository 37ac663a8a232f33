//! Compare: what changed between two records.
//!
//! Promise: every number of both is beside the same number of the neighbours it was measured with: a
//! change that every subject shows is the machine's, not the pool's.
//! Cost: none.

use std::path::Path;

use plunge_peers::harness::{CASES, Case, median};

use crate::Failure;
use crate::record::{Line, Machine, read};
use crate::rows::{OURS, Row, in_unit, rows};

/// Prints the comparison.
pub fn run(a: &Path, b: &Path) -> Result<(), Failure> {
    let (before, after) = (read(a)?, read(b)?);
    describe("A", &before);
    describe("B", &after);
    println!(
        "\nshift: how much faster everybody else became from A to B (the machine); own: how much \
         faster {OURS} became beyond that\n"
    );
    println!("| case | A | B | change | shift | own | p99 wait A | p99 wait B |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut compared = 0;
    for case in CASES {
        let (old, new) = (rows(&before, case.name), rows(&after, case.name));
        compared += usize::from(line(case, &old, &new).is_some());
    }
    compared += counts(&before, &after);
    match compared {
        0 => Err(Failure::Input(String::from(
            "the two records have no case in common",
        ))),
        _ => Ok(()),
    }
}

fn describe(name: &str, lines: &[Line]) {
    if let Some(Line::Machine(Machine {
        commit,
        compiler,
        cpu,
        cores,
        load,
        command,
        ..
    })) = lines.first()
    {
        println!("{name}: {commit}, {compiler}, {cpu}, {cores} cores, load {load:.1}: {command}");
    }
}

fn line(case: &Case, old: &[Row<'_>], new: &[Row<'_>]) -> Option<()> {
    let find = |rows: &'_ [Row<'_>], name: &str| rows.iter().position(|row| row.subject == name);
    let (mine_old, mine_new) = (&old[find(old, OURS)?], &new[find(new, OURS)?]);
    let faster = |old: &Row<'_>, new: &Row<'_>| old.time().0 / new.time().0;
    let others = old.iter().filter(|row| row.subject != OURS);
    let shifts = others.filter_map(|row| Some(faster(row, &new[find(new, row.subject)?])));
    let shift = median(shifts.collect());
    let change = faster(mine_old, mine_new);
    let unit = |row: &Row<'_>| {
        let (number, unit) = in_unit(case, row.time().0);
        format!("{number:.2} {unit}")
    };
    let wait = |row: &Row<'_>| {
        row.wait(99.0)
            .map_or(String::new(), |wait| format!("{wait:.1} µs"))
    };
    println!(
        "| {} | {} | {} | {change:.2}x | {shift:.2}x | {:.2}x | {} | {} |",
        case.name,
        unit(mine_old),
        unit(mine_new),
        change / shift,
        wait(mine_old),
        wait(mine_new)
    );
    Some(())
}

fn counts(before: &[Line], after: &[Line]) -> usize {
    let of = |lines: &[Line]| -> Vec<(String, String, f64)> {
        let counted = lines.iter().filter_map(|line| match line {
            Line::Count {
                subject,
                what,
                per_cycle,
            } => Some((subject.clone(), what.clone(), *per_cycle)),
            _ => None,
        });
        counted.collect()
    };
    let new = of(after);
    let mut compared = 0;
    for (subject, what, old) in of(before) {
        let same = new
            .iter()
            .find(|(name, kind, _)| *name == subject && *kind == what);
        let Some((_, _, now)) = same else { continue };
        compared += 1;
        if (old - now).abs() > 0.005 {
            println!("count: {subject}: {what} a cycle: {old:.2}, now {now:.2}");
        }
    }
    compared
}
