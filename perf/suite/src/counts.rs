//! Counts: instructions and allocations of a hit cycle, by valgrind.
//!
//! Promise: the difference between a run of N and one of 2N cycles, divided by N: exact for what runs
//! on one thread alone.
//! Cost: four runs under valgrind a subject, at once: a second or two.

use std::process::Command;
use std::thread;

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
    // Counts do not mind company, so all run at once.
    let under = |tool: &'static str, cycles| {
        thread::spawn({
            let subject = subject.to_owned();
            move || run(tool, &subject, cycles)
        })
    };
    let (less, more) = (cycles, 2 * cycles);
    let runs = [
        under("callgrind", less),
        under("callgrind", more),
        under("dhat", less),
        under("dhat", more),
    ];
    let counted = runs.map(|run| {
        run.join()
            .unwrap_or_else(|_| Err(String::from("counting panicked")))
    });
    let [fewer, all, fewer_blocks, all_blocks] = counted;
    let (fewer_blocks, all_blocks) = (fewer_blocks?, all_blocks?);
    Ok(vec![
        line("instructions", per_cycle(fewer?[0], all?[0])),
        line("allocations", per_cycle(fewer_blocks[1], all_blocks[1])),
        line("bytes allocated", per_cycle(fewer_blocks[0], all_blocks[0])),
    ])
}

/// Runs a child under a tool and reads the numbers of its last word: instructions, or bytes and blocks.
fn run(tool: &str, subject: &str, cycles: usize) -> Result<[f64; 2], String> {
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
    let mark = if tool == "dhat" {
        "Total:"
    } else {
        "Collected :"
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split(mark).nth(1));
    let mut found = line.into_iter().flat_map(numbers);
    match found.next() {
        Some(first) => Ok([first, found.next().unwrap_or(0.0)]),
        None => Err(format!("{tool} counted nothing for {subject}")),
    }
}

fn numbers(line: &str) -> impl Iterator<Item = f64> {
    let words = line.split_whitespace();
    words.filter_map(|word| word.replace(',', "").parse().ok())
}
