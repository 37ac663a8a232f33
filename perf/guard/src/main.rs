//! The guard: fails a build in which the pool became slower or heavier, and only then.
//!
//! Promise: counts first (allocations and bytes exactly, instructions to 1 to 4 %), then ratios to a
//! reference that runs in turns with ours, each held against its own recorded history; times are shown and
//! never gated.
//! Cost: `check` half a minute once built.
//!
//! ```text
//! cargo run --release -p guard -- check
//! cargo run --release -p guard -- record --reason "why it changed"
//! cargo run --release -p guard -- explain [CASE]
//! cargo run --release -p guard -- selftest [--runs 30]
//! ```
//!
//! Exit codes: 0 passed, 1 a regression, 2 the input or the machine is wrong.

mod arguments;
mod baseline;
mod blocks;
mod check;
mod counts;
mod cycles;
mod explain;
mod fence;
// Plays one part of the harness; the peers and the suite play the rest.
#[allow(dead_code, unused_imports)]
#[path = "../../../benches/harness/mod.rs"]
mod harness;
mod looks;
mod plant;
mod ratios;
mod record;
#[path = "../../../benches/reference/mod.rs"]
mod reference;
mod rise;
mod selftest;
mod sizes;
#[path = "../../../benches/subjects/mod.rs"]
mod subjects;

use std::process::ExitCode;

use arguments::{Cli, Task};
use baseline::Baseline;
use clap::Parser;

/// What ends the command, with its exit code.
enum Failure {
    /// Something is slower or heavier than it was: 1.
    Regression(String),
    /// The input or the machine is wrong: 2.
    Input(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let read = || Baseline::read(cli.baselines.as_deref());
    let ended = match cli.task {
        Task::Check(options) => read().and_then(|baseline| check::run(&options, &baseline)),
        Task::Record(options) => read().and_then(|baseline| record::run(&options, &baseline)),
        Task::Explain { case } => {
            read().and_then(|baseline| explain::run(case.as_deref(), &baseline))
        }
        Task::Selftest { runs } => read().and_then(|baseline| selftest::run(runs, &baseline)),
        Task::Cycles {
            case,
            cycles,
            plant,
        } => cycles::run(&case, cycles, plant),
    };
    let (code, text) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Regression(text)) => (1, text),
        Err(Failure::Input(text)) => (2, text),
    };
    eprintln!("guard: {text}");
    ExitCode::from(code)
}
