//! Command: arguments, rounds in turns, and the bars that the first subject is held against.
//!
//! Promise: in each round every subject plays, and each round starts with another one, so that no
//! subject always runs after the same neighbour. A wrong argument is named and nothing is run.
//! Cost: rounds x cases x subjects x block length.

use std::process::ExitCode;

use super::table::{median_of, print, speed_ratio};
use super::{CASES, Case, Entry, Outcome};

/// What the command line asks for.
struct Plan {
    cases: Vec<&'static Case>,
    rounds: usize,
    millis: u64,
}

/// One demand on the first subject, checked after its case.
pub struct Bar {
    /// The case's name.
    pub case: &'static str,
    /// The subject compared with; the first subject itself where the demand names nobody.
    pub against: &'static str,
    /// What is compared.
    pub measure: Measure,
    /// The least that passes.
    pub at_least: f64,
}

/// What a bar compares.
#[derive(Clone, Copy)]
pub enum Measure {
    /// Cycles in the same time, ours over theirs.
    Speed,
    /// p99 wait, theirs over ours.
    Wait,
    /// Fewest over most cycles of a task, ours.
    Evenness,
}

/// Runs what the arguments ask for and prints tables and bars.
pub fn run(entries: &[Entry], bars: &[Bar]) -> ExitCode {
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    println!(
        "{} rounds of {} ms a block, subjects in turns, one process",
        plan.rounds, plan.millis
    );
    for case in &plan.cases {
        let players: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.cases.is_empty() || entry.cases.contains(&case.name))
            .copied()
            .collect();
        let rows = rounds(case, &players, &plan);
        let ours = players.first().map_or("", |first| first.name);
        print(case, &rows, ours);
        for bar in bars.iter().filter(|bar| bar.case == case.name) {
            judge(bar, &rows);
        }
    }
    ExitCode::SUCCESS
}

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan {
        cases: Vec::new(),
        rounds: 11,
        millis: 200,
    };
    for argument in arguments {
        match argument.as_str() {
            "--bench" => {} // Cargo's own.
            "--quick" => (plan.rounds, plan.millis) = (3, 60),
            name => match CASES.iter().find(|case| case.name == name) {
                Some(case) => plan.cases.push(case),
                None => return Err(usage(name)),
            },
        }
    }
    if plan.cases.is_empty() {
        plan.cases = CASES.iter().collect();
    }
    Ok(plan)
}

fn usage(unknown: &str) -> String {
    let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    format!(
        "unknown case '{unknown}'; usage: [--quick] [CASE ...], cases: {}",
        names.join(", ")
    )
}

fn rounds(case: &Case, players: &[Entry], plan: &Plan) -> Vec<(&'static str, Vec<Outcome>)> {
    let mut rows: Vec<_> = players
        .iter()
        .map(|player| (player.name, Vec::new()))
        .collect();
    for round in 0..plan.rounds {
        for turn in 0..players.len() {
            let at = (round + turn) % players.len();
            rows[at].1.push((players[at].play)(case, plan.millis));
        }
    }
    rows
}

fn judge(bar: &Bar, rows: &[(&'static str, Vec<Outcome>)]) {
    let Some((ours, mine)) = rows.first() else {
        return;
    };
    let Some((against, theirs)) = rows.iter().find(|(name, _)| *name == bar.against) else {
        return;
    };
    let p99 = |outcomes: &[Outcome]| {
        median_of(outcomes, |outcome| {
            outcome.waits.value_at_quantile(0.99) as f64
        })
    };
    let (what, reached) = match bar.measure {
        Measure::Speed => (format!("speed over {against}"), speed_ratio(mine, theirs)),
        Measure::Wait => (
            format!("p99 wait of {against} over ours"),
            p99(theirs) / p99(mine),
        ),
        Measure::Evenness => (
            "min/max cycles a task".to_owned(),
            median_of(mine, |outcome| outcome.evenness),
        ),
    };
    let verdict = if reached >= bar.at_least {
        "reached"
    } else {
        "MISSED"
    };
    println!(
        "\nbar: {ours}, {what}: at least {:.2}, seen {reached:.2}: {verdict}",
        bar.at_least
    );
}
