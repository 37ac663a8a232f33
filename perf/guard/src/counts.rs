//! Counts: everything that is exact.
//!
//! Promise: instructions and allocations are the difference between a run of N cycles and one of 2N,
//! divided by N, on one thread under valgrind: the same on a busy machine and on an idle one. Each
//! count of instructions is the least of three.
//! Cost: eight short runs under valgrind a case.

use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::Failure;
use crate::cycles::CASES;
use crate::harness::{Reading, Tool, has_valgrind, under_valgrind};
use crate::plant::Plant;
use crate::sizes::sizes;

/// Runs of each length where instructions are counted.
const READINGS: usize = 3;

/// One exact number.
#[derive(Clone, Debug)]
pub struct Count {
    pub case: String,
    /// `instructions`, `allocations`, `bytes` or `crates`.
    pub measure: &'static str,
    pub value: f64,
}

/// What could be counted, and what was said where it could not.
#[derive(Default)]
pub struct Counted {
    pub counts: Vec<Count>,
    pub failed: Vec<String>,
}

/// Counts these cases, and what belongs to no case.
pub fn count_all(cases: &[&str], plant: Plant) -> Result<Counted, Failure> {
    let mut counted = count_cases(cases, plant)?;
    counted
        .counts
        .extend(sizes().into_iter().map(|(name, bytes)| Count {
            case: name.to_owned(),
            measure: "bytes",
            value: bytes as f64,
        }));
    match dependencies() {
        Ok(count) => counted.counts.push(count),
        Err(failed) => counted.failed.push(failed),
    }
    Ok(counted)
}

/// Counts some cases, two at a time. One that cannot be counted takes nothing from the others.
///
/// # Errors
///
/// If there is no valgrind to count with.
pub fn count_cases(cases: &[&str], plant: Plant) -> Result<Counted, Failure> {
    has_valgrind().map_err(Failure::Input)?;
    let left = Mutex::new(cases.iter().rev().copied().collect::<Vec<&str>>());
    let work = || {
        let mut counted = Counted::default();
        loop {
            // Taken in a statement of its own, so that the lock is free while the case is counted.
            let next = left.lock().map_or(None, |mut left| left.pop());
            let Some(case) = next else {
                return counted;
            };
            for count in [instructions(case, plant), allocations(case, plant)] {
                match count {
                    Ok(count) => counted.counts.push(count),
                    Err(failed) => counted.failed.push(failed),
                }
            }
        }
    };
    let (mut all, other) = thread::scope(|scope| {
        let other = scope.spawn(work);
        (work(), other.join())
    });
    let other = other.map_err(|_| Failure::Input(String::from("counting panicked")))?;
    all.counts.extend(other.counts);
    all.failed.extend(other.failed);
    all.counts
        .sort_by_key(|count| cases.iter().position(|case| *case == count.case));
    Ok(all)
}

fn instructions(case: &str, plant: Plant) -> Result<Count, String> {
    difference(case, "instructions", READINGS, |cycles| {
        Ok(run(Tool::Callgrind, case, cycles, plant)?.instructions)
    })
}

fn allocations(case: &str, plant: Plant) -> Result<Count, String> {
    difference(case, "allocations", 1, |cycles| {
        Ok(run(Tool::Dhat, case, cycles, plant)?.blocks)
    })
}

/// A cycle's share of what a longer run has more than a shorter one, to a tenth.
fn difference(
    case: &str,
    measure: &'static str,
    readings: usize,
    reading: impl Fn(usize) -> Result<f64, String>,
) -> Result<Count, String> {
    // The least of some: a thread that looks at a clock now and then, and a timer that fires on a
    // machine that stood still, add to a run and never take from it.
    let least = |cycles| -> Result<f64, String> {
        let mut least = f64::INFINITY;
        for _ in 0..readings {
            least = least.min(reading(cycles)?);
        }
        Ok(least)
    };
    let counted = CASES.iter().find(|counted| counted.name == case);
    let cycles = counted.map_or(1_000, |counted| counted.cycles);
    let per_cycle = (least(2 * cycles)? - least(cycles)?) / cycles as f64;
    Ok(Count {
        case: case.to_owned(),
        measure,
        // Less than nothing would be rounding; `max` also turns a negative zero into zero.
        value: ((per_cycle * 10.0).round() / 10.0).max(0.0),
    })
}

/// Runs the case in a child under a tool.
fn run(tool: Tool, case: &str, cycles: usize, plant: Plant) -> Result<Reading, String> {
    let plant = format!("{plant:?}").to_lowercase();
    let arguments = ["cycles", case, &cycles.to_string(), "--plant", &plant];
    under_valgrind(tool, &arguments).map_err(|error| format!("{case}: {error}"))
}

/// How many crates a user of the library without features pulls in.
fn dependencies() -> Result<Count, String> {
    let output = Command::new("cargo")
        .args([
            "tree",
            "--quiet",
            "--package",
            "plunge",
            "--edges",
            "no-dev",
        ])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output();
    let output = output.map_err(|error| format!("dependencies: cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("dependencies: cargo tree: {}", said.trim()));
    }
    Ok(Count {
        case: String::from("dependencies"),
        measure: "crates",
        value: (names.len() - 1) as f64,
    })
}
