//! Record: what was measured, one JSON value a line.
//!
//! Promise: lines are only ever appended, each flushed as it comes; a line that cannot be read is
//! named with its number and what to do.
//! Cost: one write a line, between blocks.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// What is weighed, in words.
pub const WEIGHT: &str = "bytes an idle connection";

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// Where and how; the first line.
    Machine(Machine),
    /// One block of one subject.
    Block(Block),
    /// What one cycle costs, counted, not timed.
    Count {
        /// `hit` or `wait`.
        #[serde(default = "hit")]
        cycle: String,
        subject: String,
        /// `instructions`, `allocations` or `bytes allocated`.
        what: String,
        per_cycle: f64,
    },
    /// What one idle connection weighs.
    Weight {
        subject: String,
        bytes_per_connection: f64,
    },
    /// Live heap while operations go on.
    Heap {
        subject: String,
        seconds: f64,
        operations: u64,
        allocated: u64,
    },
    /// What could not be measured, and why; the whole case where no subject is named.
    Failed {
        case: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        message: String,
    },
    /// The verdict of a bar, as it was printed.
    Bar { verdict: String },
}

impl Line {
    /// What was counted or weighed.
    pub fn exact(&self) -> Option<Exact<'_>> {
        let (subject, what, number) = match self {
            Self::Count {
                cycle,
                subject,
                what,
                per_cycle,
            } => (subject, format!("{what} a {cycle}"), *per_cycle),
            Self::Weight {
                subject,
                bytes_per_connection,
            } => (subject, String::from(WEIGHT), *bytes_per_connection),
            _ => return None,
        };
        Some(Exact {
            subject,
            what,
            number,
        })
    }

    /// What a reader is told of something that could not be measured.
    pub fn failure(&self) -> Option<String> {
        let Self::Failed {
            case,
            subject,
            message,
        } = self
        else {
            return None;
        };
        let whose = subject.iter().map(|subject| format!("{subject}: "));
        let whose: String = whose.collect();
        Some(format!("FAILED: {case}: {whose}{message}"))
    }
}

/// A number without a spread.
pub struct Exact<'a> {
    /// Whose it is.
    pub subject: &'a str,
    /// What was counted or weighed, and of what, in words.
    pub what: String,
    pub number: f64,
}

/// What the records count that do not say it.
fn hit() -> String {
    String::from("hit")
}

/// Where and how a record was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub commit: String,
    pub compiler: String,
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    /// The load average of the last minute before the first block.
    pub load: f64,
    pub command: String,
    pub began_unix_seconds: u64,
    pub versions: BTreeMap<String, String>,
}

/// What one block gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    pub case: String,
    pub subject: String,
    pub round: usize,
    pub ns_per_cycle: f64,
    pub evenness: f64,
    /// Where the cores were: `near`, `far`, `crowded`, `mixed`; `any` where it does not show in the case.
    #[serde(default)]
    pub cores: String,
    /// Nanoseconds that a cache line took to the other core and back, before the block; nothing where
    /// two threads did not get to run at once.
    #[serde(default)]
    pub before_ns: Option<f64>,
    /// The same, after it.
    #[serde(default)]
    pub after_ns: Option<f64>,
    /// Percentile and nanoseconds; empty where the case measures no waits.
    pub waits: Vec<(f64, u64)>,
}

/// A record that is being written.
pub struct Writer(File);

impl Writer {
    /// Starts a new file; never overwrites one.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let opened = OpenOptions::new().append(true).create_new(true).open(path);
        opened
            .map(Self)
            .map_err(|error| Failure::Run(format!("{} cannot be written: {error}", path.display())))
    }

    /// Appends a line.
    pub fn append(&mut self, line: &Line) -> Result<(), Failure> {
        let broken = |error: &dyn std::fmt::Display| {
            Failure::Run(format!("the record cannot be written: {error}"))
        };
        let mut text = serde_json::to_string(line).map_err(|error| broken(&error))?;
        text.push('\n');
        self.0
            .write_all(text.as_bytes())
            .map_err(|error| broken(&error))
    }
}

/// Reads a record.
///
/// # Errors
///
/// If it is not there, empty, does not begin with the machine, or a line is not whole.
pub fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let name = path.display();
    let wrong = |text: String| Failure::Input(format!("{name}: {text}"));
    let file = File::open(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mut lines = Vec::new();
    for (at, text) in BufReader::new(file).lines().enumerate() {
        let text = text.map_err(|error| wrong(format!("line {}: {error}", at + 1)))?;
        let line = serde_json::from_str(&text).map_err(|error| {
            wrong(format!(
                "line {} is cut off or no line of a record ({error}): remove it, or measure again",
                at + 1
            ))
        })?;
        lines.push(line);
    }
    match lines.first() {
        Some(Line::Machine(_)) => Ok(lines),
        Some(_) => Err(wrong(String::from(
            "does not begin with the machine it was made on: it is no record of this suite",
        ))),
        None => Err(wrong(String::from("is empty: measure again"))),
    }
}
