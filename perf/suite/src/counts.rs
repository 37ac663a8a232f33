//! Counts: instructions and allocations of a hit, and of a cycle that somebody waits in, by valgrind.
//!
//! Promise: the difference between a run of N and one of 2N cycles, divided by N: exact for what runs
//! on one thread alone.
//! Cost: four runs under valgrind a subject and cycle, at once: a second or two.

use std::thread;

use clap::ValueEnum;
use plunge_peers::harness::{Case, Entry, QueuePair, Reading, Subject, Tool, under_valgrind};
use plunge_peers::roster;

use crate::Failure;
use crate::record::Line;
use crate::rows::OURS;

/// What a cycle is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cycle {
    /// An acquire and a release of what is idle.
    Hit,
    /// The same, while another task waits for the only object.
    Wait,
}

impl Cycle {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hit, Self::Wait];

    /// The word of a record and of the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Wait => "wait",
        }
    }

    /// The case whose players are counted.
    const fn case(self) -> &'static str {
        match self {
            Self::Hit => "one_task",
            Self::Wait => "64_over_8",
        }
    }

    fn play(self, entry: &Entry, cycles: usize) {
        match self {
            Self::Hit => (entry.count)(cycles),
            Self::Wait => (entry.count_waits)(cycles),
        }
    }
}

/// The child's side: runs the cycles.
pub fn cycles(cycle: Cycle, subject: &str, cycles: usize) -> Result<(), Failure> {
    let entries = roster();
    let entry = entries.iter().find(|entry| entry.name == subject);
    let entry = entry.ok_or_else(|| Failure::Input(format!("there is no subject '{subject}'")))?;
    cycle.play(entry, cycles);
    Ok(())
}

/// Names of the subjects of which this cycle is counted.
pub fn subjects(cycle: Cycle) -> Vec<&'static str> {
    let case = Case::named(cycle.case());
    let plays = |entry: &Entry| case.is_some_and(|case| (entry.plays)(case));
    let entries = roster().into_iter().filter(plays);
    entries.map(|entry| entry.name).collect()
}

/// Counts one subject.
pub fn count(cycle: Cycle, subject: &str, cycles: usize) -> Result<Vec<Line>, String> {
    // Counts do not mind company, so all run at once.
    let under = |tool: Tool, cycles: usize| {
        let subject = subject.to_owned();
        thread::spawn(move || {
            let arguments = ["cycles", cycle.name(), &subject, &cycles.to_string()];
            under_valgrind(tool, &arguments).map_err(|error| format!("{subject}: {error}"))
        })
    };
    let runs = [
        under(Tool::Callgrind, cycles),
        under(Tool::Callgrind, 2 * cycles),
        under(Tool::Dhat, cycles),
        under(Tool::Dhat, 2 * cycles),
    ];
    let [fewer, all, fewer_blocks, all_blocks] = runs.map(|run| {
        run.join()
            .unwrap_or_else(|_| Err(String::from("counting panicked")))
    });
    let (instructions, blocks) = ((fewer?, all?), (fewer_blocks?, all_blocks?));
    let line = |what: &str, (less, more): (Reading, Reading), of: fn(Reading) -> f64| Line::Count {
        cycle: cycle.name().to_owned(),
        subject: subject.to_owned(),
        what: what.to_owned(),
        per_cycle: (of(more) - of(less)) / cycles as f64,
    };
    Ok(vec![
        line("instructions", instructions, |reading| reading.instructions),
        line("allocations", blocks, |reading| reading.blocks),
        line("bytes allocated", blocks, |reading| reading.bytes),
    ])
}

/// What the bars say of what was counted.
pub fn verdicts(lines: &[Line]) -> Vec<String> {
    let counted = |cycle: Cycle, subject: &str, what: &str| {
        let what = format!("{what} a {}", cycle.name());
        let mut exact = lines.iter().filter_map(Line::exact);
        let found = exact.find(|exact| exact.subject == subject && exact.what == what);
        found.map(|found| found.number)
    };
    let verdict = |what: String, at_most: f64, seen: Option<f64>| {
        let seen = seen?;
        let verdict = match seen <= at_most + ROUNDING {
            true => "reached",
            false => "MISSED",
        };
        Some(format!(
            "counts: {OURS}, {what}: at most {at_most:.0}, seen {seen:.2}: {verdict}"
        ))
    };
    let of_queue = counted(Cycle::Hit, QueuePair::NAME, "instructions");
    let instructions = of_queue.and_then(|queue| {
        let what = format!(
            "instructions a hit ({MOST:.0} where the {} takes {WHERE:.0}, and here it takes {queue:.0})",
            QueuePair::NAME
        );
        let seen = counted(Cycle::Hit, OURS, "instructions");
        verdict(what, MOST / WHERE * queue, seen)
    });
    let allocations = Cycle::ALL.map(|cycle| {
        let what = format!("allocations a {}", cycle.name());
        verdict(what, 0.0, counted(cycle, OURS, "allocations"))
    });
    instructions
        .into_iter()
        .chain(allocations.into_iter().flatten())
        .collect()
}

/// Instructions that a hit may take, and those of the bare queue in the harness where that was said.
const MOST: f64 = 200.0;
const WHERE: f64 = 130.0;
/// What somebody else of the process may add to a cycle's share.
const ROUNDING: f64 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(cycle: Cycle, subject: &str, what: &str, per_cycle: f64) -> Line {
        Line::Count {
            cycle: cycle.name().to_owned(),
            subject: subject.to_owned(),
            what: what.to_owned(),
            per_cycle,
        }
    }

    #[test]
    fn instructions_are_held_to_as_many_as_the_harness_is_short() {
        let lines = |ours| {
            [
                count(Cycle::Hit, OURS, "instructions", ours),
                count(Cycle::Hit, QueuePair::NAME, "instructions", 65.0),
            ]
        };
        assert!(verdicts(&lines(100.0))[0].ends_with("at most 100, seen 100.00: reached"));
        assert!(verdicts(&lines(101.0))[0].ends_with("MISSED"));
    }

    #[test]
    fn an_allocation_in_a_hundred_waits_misses_the_bar() {
        let lines = [count(Cycle::Wait, OURS, "allocations", 0.01)];
        assert_eq!(
            verdicts(&lines),
            ["counts: plunge, allocations a wait: at most 0, seen 0.01: MISSED"]
        );
    }

    #[test]
    fn what_was_not_counted_is_not_judged() {
        assert!(verdicts(&[]).is_empty());
    }
}
