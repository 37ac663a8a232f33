//! The suite: every case that applies on this machine, one record, one report.
//!
//! Promise: each case runs in a process of its own, so that a crash of one loses no other's result;
//! what was measured is on disk before the next case begins. Nothing fails on a time.
//! Cost: about a quarter of an hour; `--quick` under three; a case's name as argument runs it alone.
//!
//! ```text
//! cargo run --release -p plunge-perf -- suite [--quick] [CASE ...]
//! cargo run --release -p plunge-perf -- compare A.ndjson B.ndjson
//! cargo run --release -p plunge-perf -- report A.ndjson
//! ```
//!
//! Exit codes: 0 done, 1 something failed while it was measured, 2 the input is wrong.

mod arguments;
mod block;
mod child;
mod compare;
mod counts;
mod heap;
mod laps;
mod machine;
mod plan;
mod record;
mod report;
mod rows;
mod suite;
mod summary;

use std::process::ExitCode;

use arguments::{Cli, Task};
use clap::Parser;

/// What ends the command, with its exit code.
enum Failure {
    /// The input is wrong: 2.
    Input(String),
    /// Something failed while it was measured: 1.
    Run(String),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Task::Suite(options) => suite::run(&options),
        Task::Compare { a, b } => compare::run(&a, &b),
        Task::Report { record, to } => report::run(&record, to.as_deref()),
        Task::List => plan::list(),
        Task::Block(options) => block::run(&options),
        Task::Cycles {
            cycle,
            subject,
            cycles,
        } => counts::cycles(cycle, &subject, cycles),
    };
    let (code, text) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(text)) => (1, text),
        Err(Failure::Input(text)) => (2, text),
    };
    eprintln!("plunge-perf: {text}");
    ExitCode::from(code)
}
