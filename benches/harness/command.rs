//! Command: arguments, rounds in turns, and the bars that the first subject is held against.
//!
//! Promise: a wrong argument is named and nothing is run; a subject that breaks a case's check is
//! named in the table and makes the exit code 1. A bar is reported, never gated.
//! Cost: rounds x cases x subjects x block length.

use std::process::ExitCode;

use super::played::LEAST;
use super::table::{median_of, print, ratio, speed_ratio};
use super::{CASES, Case, Entry, Group, Outcome, Played, Row, Side, rounds};

/// What the command line asks for.
struct Plan {
    cases: Vec<&'static Case>,
    /// Whether they were asked for by name.
    named: bool,
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
    say!(
        "{} rounds of {} ms a block, subjects in turns, one process",
        plan.rounds,
        plan.millis
    );
    let mut failed = false;
    for case in &plan.cases {
        let players: Vec<Entry> = entries
            .iter()
            .filter(|entry| (entry.plays)(case))
            .copied()
            .collect();
        let Some(ours) = players.first().map(|first| first.name) else {
            if plan.named {
                say!("\n{}: nobody here plays it; the suite does", case.name);
            }
            continue;
        };
        let (rounds_wanted, millis) = case.rounds(plan.rounds, plan.millis);
        let played = rounds(case, &players, rounds_wanted, millis, |_, _| ());
        failed |= played.rows.iter().any(|row| row.failure.is_some());
        print(case, &played, ours);
        for verdict in bars.iter().flat_map(|bar| judge(bar, case, &played)) {
            say!("\nbar: {verdict}");
        }
    }
    if failed {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan {
        cases: Vec::new(),
        named: true,
        rounds: 11,
        millis: 200,
    };
    for argument in arguments {
        match argument.as_str() {
            "--bench" => {} // Cargo's own.
            "--quick" => (plan.rounds, plan.millis) = (3, 60),
            name => match Case::named(name) {
                Some(case) => plan.cases.push(case),
                None => return Err(usage(name)),
            },
        }
    }
    if plan.cases.is_empty() {
        plan.named = false;
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

/// What a bar says of a case, for each side that the cores were on; nothing where it is of another case
/// or somebody did not play. Of fewer rounds of both than blocks make a group, a bar is neither reached nor missed.
pub fn judge(bar: &Bar, case: &Case, played: &Played) -> Vec<String> {
    if bar.case != case.name {
        return Vec::new();
    }
    let groups = played.groups();
    let verdicts = groups.iter().filter_map(|group| verdict(bar, group));
    verdicts.collect()
}

fn verdict(bar: &Bar, group: &Group) -> Option<String> {
    let whole = |row: &&Row| row.failure.is_none() && !row.outcomes.is_empty();
    let ours = group.rows.first().filter(whole)?;
    let theirs = group.rows.iter().find(|row| row.name == bar.against);
    let theirs = theirs.filter(whole)?;
    let (against, mine) = (bar.against, &ours.outcomes);
    let meets = |outcome: &&Outcome| {
        let mut theirs = theirs.outcomes.iter();
        theirs.any(|theirs| theirs.round == outcome.round)
    };
    let shared = mine.iter().filter(meets).count();
    let p99 = |outcome: &Outcome| outcome.waits.value_at_quantile(0.99) as f64;
    let (what, reached) = match bar.measure {
        Measure::Speed => (
            format!("speed over {against}"),
            speed_ratio(mine, &theirs.outcomes),
        ),
        Measure::Wait => (
            format!("p99 wait of {against} over ours"),
            ratio(mine, &theirs.outcomes, p99),
        ),
        Measure::Evenness => (
            "min/max cycles a task".to_owned(),
            median_of(mine, |outcome| outcome.evenness),
        ),
    };
    let verdict = match reached >= bar.at_least {
        _ if shared < LEAST => "too few blocks to tell",
        true => "reached",
        false => "MISSED",
    };
    let place = match group.side {
        Side::Any => String::new(),
        side => format!(", cores {} in {} blocks", side.name(), group.blocks),
    };
    Some(format!(
        "{}, {what}{place}: at least {:.2}, seen {reached:.2}: {verdict}",
        ours.name, bar.at_least
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Distance, Tally};
    use super::*;

    fn row(name: &'static str, rounds: usize) -> Row {
        let near = Distance {
            before: Some(50.0),
            after: Some(50.0),
        };
        let outcome = |round| Outcome {
            round,
            distance: Some(near),
            ..Outcome::alone(Duration::from_millis(1), Tally::new())
        };
        Row {
            name,
            outcomes: (0..rounds).map(outcome).collect(),
            failure: None,
        }
    }

    fn verdicts(ours: usize, theirs: usize) -> Vec<String> {
        let bar = Bar {
            case: "64_over_8",
            against: "them",
            measure: Measure::Speed,
            at_least: 2.0,
        };
        let rows = vec![row("us", ours), row("them", theirs)];
        let case = Case::named(bar.case).unwrap();
        judge(&bar, case, &Played { rows })
    }

    #[test]
    fn a_bar_is_judged_by_three_rounds_of_both_and_more() {
        assert!(verdicts(3, 3)[0].ends_with("seen 1.00: MISSED"));
        assert!(verdicts(4, 2)[0].ends_with("seen 1.00: too few blocks to tell"));
    }
}
