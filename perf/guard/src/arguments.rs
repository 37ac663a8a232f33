//! The command line.
//!
//! Promise: every task of the command; what is for the guard's own children and tests is hidden.
//! Cost: none.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::plant::Plant;

/// Fails a build in which plunge became slower or heavier, and only then.
#[derive(Parser)]
pub struct Cli {
    /// Where the baselines are [default: those of the tree that this was built from].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub baselines: Option<PathBuf>,
    #[command(subcommand)]
    pub task: Task,
}

/// What is asked for.
#[derive(Subcommand)]
pub enum Task {
    /// Hold what is built now against the baselines.
    Check(CheckOptions),
    /// Append what is built now to the baselines.
    Record(RecordOptions),
    /// Show a case's history and its fence; of all of them, without a name, what regression each fence catches.
    Explain { case: Option<String> },
    /// Plant a regression of each kind, and see each fail; then see unchanged runs pass.
    Selftest {
        /// Unchanged runs, with one core kept busy; all of them must pass.
        #[arg(long, default_value_t = 0, value_name = "N")]
        runs: usize,
    },
    /// Run one case so many times, to be counted from outside.
    #[command(hide = true)]
    Cycles {
        case: String,
        cycles: usize,
        #[arg(long, value_enum, default_value_t = Plant::Nothing)]
        plant: Plant,
    },
}

/// How `check` runs.
#[derive(Args)]
pub struct CheckOptions {
    /// Only the counts: exact on any machine, however busy.
    #[arg(long)]
    pub counts_only: bool,
    /// Plant a regression in what is counted, to see what is said of it.
    #[arg(long, hide = true, value_enum, default_value_t = Plant::Nothing)]
    pub plant: Plant,
    /// The cases to check; everything if none is named.
    pub cases: Vec<String>,
}

/// How `record` runs.
#[derive(Args)]
pub struct RecordOptions {
    /// Why a count changed; needed where one rose.
    #[arg(long)]
    pub reason: Option<String>,
    /// How often the ratios are measured.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub runs: usize,
    /// Leave the ratios as they are.
    #[arg(long)]
    pub counts_only: bool,
    /// Leave the counts as they are.
    #[arg(long, conflicts_with = "counts_only")]
    pub ratios_only: bool,
}
