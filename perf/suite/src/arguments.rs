//! The command line.
//!
//! Promise: every task of the command, with its own words; what is for the suite's own children is
//! hidden from the help page.
//! Cost: none.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::counts::Cycle;

/// The benchmark suite of plunge.
#[derive(Parser)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

/// What is asked for.
#[derive(Subcommand)]
pub enum Task {
    /// Measure, write a record, and make the report of it.
    Suite(SuiteOptions),
    /// Show what changed between two records.
    Compare { a: PathBuf, b: PathBuf },
    /// Make the report of a record again.
    Report {
        record: PathBuf,
        /// Where to write it [default: beside the record].
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Name the cases and what each isolates.
    List,
    /// Play one case and print its lines.
    #[command(hide = true)]
    Block(BlockOptions),
    /// Run one subject's cycle so many times, to be counted from outside.
    #[command(hide = true)]
    Cycles {
        cycle: Cycle,
        subject: String,
        cycles: usize,
    },
}

/// How the suite runs.
#[derive(Args)]
pub struct SuiteOptions {
    /// Short rounds: under three minutes in all.
    #[arg(long)]
    pub quick: bool,
    /// Where record and report go [default: target/perf].
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Abort in the middle of this case, to see that nothing else is lost.
    #[arg(long, hide = true, value_name = "CASE")]
    pub plant_crash: Option<String>,
    /// The cases to run; all that apply if none is named.
    pub cases: Vec<String>,
}

/// How one case is played.
#[derive(Args)]
pub struct BlockOptions {
    pub case: String,
    #[arg(long)]
    pub rounds: usize,
    #[arg(long)]
    pub millis: u64,
    #[arg(long)]
    pub plant_crash: bool,
}
