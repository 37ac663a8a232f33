//! Plan: which cases, how many rounds of what length, and about how long that takes.
//!
//! Promise: an unknown name is refused with the names there are.
//! Cost: none.

use std::time::Duration;

use plunge_peers::harness::{CASES, Case, Entry, Shape};
use plunge_peers::{roster, say};

use crate::Failure;
use crate::arguments::SuiteOptions;

/// The part of the suite that counts instead of timing.
pub const COUNTS: &str = "counts";
/// The part of the suite that weighs the heap.
pub const HEAP: &str = "heap";

/// What the suite will do.
pub struct Plan {
    pub cases: Vec<&'static Case>,
    pub counts: bool,
    pub heap: bool,
    pub rounds: usize,
    pub millis: u64,
    /// Cycles of the shorter of the two runs that are counted.
    pub cycles: usize,
}

impl Plan {
    /// Reads the wish.
    pub fn of(options: &SuiteOptions) -> Result<Self, Failure> {
        let named = |name: &str| options.cases.iter().any(|case| case == name);
        if let Some(unknown) = options.cases.iter().find(|name| !is_known(name)) {
            return Err(unknown_case(unknown));
        }
        let all = options.cases.is_empty();
        let (rounds, millis, cycles) = match options.quick {
            true => (3, 40, 1_000),
            false => (9, 150, 10_000),
        };
        let cases = CASES.iter().filter(|case| all || named(case.name));
        Ok(Self {
            cases: cases.collect(),
            counts: all || named(COUNTS),
            heap: all || named(HEAP),
            rounds,
            millis,
            cycles,
        })
    }

    /// About how long a case takes; a round in two is played again where distance shows.
    pub fn time_of(&self, case: &Case) -> Duration {
        let (rounds, millis) = case.rounds(self.rounds, self.millis);
        let block = match case.shape {
            Shape::Solo | Shape::Spike => millis + 10,
            Shape::Burst => millis.max(500) + 100,
            Shape::Sleeps => millis.max(60) * 6 + 50,
            _ => millis * 5 / 4 + 12,
        };
        let block = match case.feels_distance() {
            true => block * 3 / 2,
            false => block,
        };
        let blocks = rounds * players(case).len();
        Duration::from_millis(blocks as u64 * block)
    }
}

/// Who plays a case.
pub fn players(case: &Case) -> Vec<Entry> {
    let entries = roster().into_iter();
    entries.filter(|entry| (entry.plays)(case)).collect()
}

/// Finds a case by its name.
pub fn case_named(name: &str) -> Result<&'static Case, Failure> {
    Case::named(name).ok_or_else(|| unknown_case(name))
}

fn is_known(name: &str) -> bool {
    name == COUNTS || name == HEAP || Case::named(name).is_some()
}

fn unknown_case(name: &str) -> Failure {
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    Failure::Input(format!(
        "there is no case '{name}'; there are: {}, {COUNTS}, {HEAP}",
        names.join(", ")
    ))
}

/// Names the cases.
pub fn list() -> Result<(), Failure> {
    for case in CASES {
        say!("{:14} {}", case.name, case.isolates);
    }
    say!("{COUNTS:14} instructions and allocations of a hit and of a wait, under valgrind");
    say!("{HEAP:14} what an idle connection weighs, and the live heap while operations go on");
    Ok(())
}
