//! Counts: instructions and allocations of a hit cycle, by valgrind.
//!
//! Promise: the difference between a run of N and one of 2N cycles, divided by N: exact for what runs
//! on one thread alone.
//! Cost: four runs under valgrind a subject, a second or two each.

use std::process::Command;

use plunge_peers::roster;

use crate::Failure;
use crate::record::Line;

/// The case whose players are counted.
const CASE: &str = "one_task";

/// The child's side: runs the cycles.
pub fn cycles(subject: &str, cycles: usize) -> Result<(), Failure> {
    let entries = roster();
    let entry = entries.iter().find(|entry| entry.name == subject);
    let entry = entry.ok_or_else(|| Failure::Input(format!("there is no subject '{subject}'")))?;
    (entry.count)(cycles);
    Ok(())
}

/// Names of the subjects that are counted.
pub fn subjects() -> Vec<&'static str> {
    let plays = |cases: &[&str]| cases.is_empty() || cases.contains(&CASE);
    let entries = roster().into_iter().filter(|entry| plays(entry.cases));
    entries.map(|entry| entry.name).collect()
}

/// Counts one subject.
pub fn count(subject: &str, cycles: usize) -> Result<Vec<Line>, String> {
    let per_cycle = |less: f64, more: f64| (more - less) / cycles as f64;
    let line = |what: &str, per_cycle: f64| Line::Count {
        subject: subject.to_owned(),
        what: what.to_owned(),
        per_cycle,
    };
    let instructions = |cycles| run("callgrind", subject, cycles, "Collected :", 0);
    let blocks = |cycles| run("dhat", subject, cycles, "Total:", 1);
    let bytes = |cycles| run("dhat", subject, cycles, "Total:", 0);
    let (less, more) = (cycles, 2 * cycles);
    Ok(vec![
        line(
            "instructions",
            per_cycle(instructions(less)?, instructions(more)?),
        ),
        line("allocations", per_cycle(blocks(less)?, blocks(more)?)),
        line("bytes allocated", per_cycle(bytes(less)?, bytes(more)?)),
    ])
}

/// Runs a child under a tool and reads the number `at` of the line that begins with `mark`.
fn run(tool: &str, subject: &str, cycles: usize, mark: &str, at: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .arg(format!("--tool={tool}"))
        .arg(format!("--{tool}-out-file=/dev/null"))
        .arg(program)
        .args(["cycles", subject, &cycles.to_string()])
        .output()
        .map_err(|error| {
            format!("valgrind cannot be started ({error}): install it (Debian: apt-get install valgrind)")
        })?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split(mark).nth(1));
    let number = line.and_then(|line| numbers(line).nth(at));
    number.ok_or_else(|| format!("{tool} counted nothing for {subject}"))
}

fn numbers(line: &str) -> impl Iterator<Item = f64> {
    let words = line.split_whitespace();
    words.filter_map(|word| word.replace(',', "").parse().ok())
}
