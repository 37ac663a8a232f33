//! Compare: what changed between two records.
//!
//! Promise: every number of both is beside the same number of the neighbours it was measured with: a
//! change that every subject shows is the machine's, not the pool's. What was played with the cores near
//! each other is held against nothing that was played with them far apart.
//! Cost: none.

use std::path::Path;

use plunge_peers::harness::{CASES, Case, median};
use plunge_peers::say;

use crate::Failure;
use crate::record::{Exact, Line, Machine, read};
use crate::rows::{OURS, Part, Row, parts};

/// Prints the comparison.
pub fn run(a: &Path, b: &Path) -> Result<(), Failure> {
    let (before, after) = (read(a)?, read(b)?);
    describe(&before, &after);
    say!(
        "\nshift: how much faster everybody else became from A to B (the machine); own: how much \
         faster {OURS} became beyond that\n"
    );
    say!("| case | cores | A | B | change | shift | own | p99 wait A | p99 wait B |");
    say!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut compared = 0;
    for case in CASES {
        let (old, new) = (parts(&before, case.name), parts(&after, case.name));
        for old in &old.parts {
            let same = new.parts.iter().find(|new| new.side == old.side);
            compared += usize::from(same.and_then(|new| line(case, old, new)).is_some());
        }
    }
    compared += exact(&before, &after);
    match compared {
        0 => Err(Failure::Input(String::from(
            "the two records have nothing in common: no case that both played on the same side, and no count",
        ))),
        _ => Ok(()),
    }
}

fn describe(before: &[Line], after: &[Line]) {
    let mut machines = Vec::new();
    for (name, lines) in [("A", before), ("B", after)] {
        if let Some(Line::Machine(machine)) = lines.first() {
            let Machine {
                commit,
                compiler,
                cpu,
                cores,
                load,
                command,
                ..
            } = machine;
            say!("{name}: {commit}, {compiler}, {cpu}, {cores} cores, load {load:.1}: {command}");
            machines.push((cpu, cores));
        }
    }
    if machines.windows(2).any(|pair| pair[0] != pair[1]) {
        say!("the machines differ: believe `own`, not `change`");
    }
}

fn line(case: &Case, old: &Part<'_>, new: &Part<'_>) -> Option<()> {
    let (mine_old, mine_new) = (old.row(OURS)?, new.row(OURS)?);
    let faster = |old: &Row<'_>, new: &Row<'_>| old.time().0 / new.time().0;
    let others = old.rows.iter().filter(|row| row.subject != OURS);
    let shifts = others.filter_map(|row| Some(faster(row, new.row(row.subject)?)));
    let shift = median(shifts.collect());
    let change = faster(mine_old, mine_new);
    let unit = |row: &Row<'_>| {
        let (number, unit) = case.in_unit(row.time().0);
        format!("{number:.2} {unit}")
    };
    let wait = |row: &Row<'_>| {
        row.wait(99.0)
            .map_or(String::new(), |wait| format!("{wait:.1} µs"))
    };
    say!(
        "| {} | {} | {} | {} | {change:.2}x | {shift:.2}x | {:.2}x | {} | {} |",
        case.name,
        old.side.name(),
        unit(mine_old),
        unit(mine_new),
        change / shift,
        wait(mine_old),
        wait(mine_new)
    );
    Some(())
}

/// Prints what was counted or weighed and changed; gives how much is in both.
fn exact(before: &[Line], after: &[Line]) -> usize {
    let mut compared = 0;
    for Exact {
        subject,
        what,
        number,
    } in before.iter().filter_map(Line::exact)
    {
        let mut new = after.iter().filter_map(Line::exact);
        let same = new.find(|new| new.subject == subject && new.what == what);
        let Some(Exact { number: now, .. }) = same else {
            continue;
        };
        compared += 1;
        if (number - now).abs() > 0.005 {
            say!("{subject}: {what}: {number:.2}, now {now:.2}");
        }
    }
    compared
}
