//! Baseline: what was recorded, one JSON value a line, only ever appended.
//!
//! Promise: the last line of a case and measure is the one that counts; the ones before are its
//! history. A line that cannot be read is named with its number and what to do.
//! Cost: two small files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::fence::{level, newest};
use crate::harness::Place;

/// An exact number that was recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CountLine {
    pub case: String,
    pub measure: String,
    pub value: f64,
    pub commit: String,
    pub compiler: String,
    pub reason: String,
}

/// Ratios that were recorded in one sitting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RatioLine {
    pub case: String,
    pub measure: String,
    pub values: Vec<f64>,
    /// The median time of ours: to be read, never gated.
    pub ours_ns: f64,
    pub commit: String,
    pub compiler: String,
    pub cpu: String,
    pub cores: usize,
}

/// Both files.
#[derive(Clone)]
pub struct Baseline {
    folder: PathBuf,
    pub counts: Vec<CountLine>,
    pub ratios: Vec<RatioLine>,
}

const COUNTS: &str = "counts.ndjson";
const RATIOS: &str = "ratios.ndjson";

impl Baseline {
    /// Reads both files of a folder, or of the tree's own; one that is not there is empty.
    pub fn read(folder: Option<&Path>) -> Result<Self, Failure> {
        let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../baselines");
        let folder = folder.map_or_else(own, Path::to_path_buf);
        Ok(Self {
            counts: read(&folder, COUNTS)?,
            ratios: read(&folder, RATIOS)?,
            folder,
        })
    }

    /// Appends lines of counts to their file.
    pub fn append_counts(&self, lines: &[CountLine]) -> Result<(), Failure> {
        append(&self.folder, COUNTS, lines)
    }

    /// Appends lines of ratios to their file.
    pub fn append_ratios(&self, lines: &[RatioLine]) -> Result<(), Failure> {
        append(&self.folder, RATIOS, lines)
    }

    /// The line of a count that is in force.
    pub fn count(&self, case: &str, measure: &str) -> Option<&CountLine> {
        let mut lines = self.counts.iter().rev();
        lines.find(|line| line.case == case && line.measure == measure)
    }

    /// The ratios of a case that were recorded on this kind of processor since it last became faster
    /// or slower, oldest first; of a rate the newest ones.
    pub fn history(&self, case: &str, measure: &str, place: &Place) -> Vec<f64> {
        let lines = self.ratios.iter().filter(|line| {
            line.case == case
                && line.measure == measure
                && line.cpu == place.cpu
                && line.cores == place.cores
        });
        let sittings: Vec<&[f64]> = lines.map(|line| line.values.as_slice()).collect();
        let values = sittings[level(measure, &sittings)..].concat();
        newest(measure, &values).to_vec()
    }

    /// The commit at which a ratio was last recorded.
    pub fn last_commit(&self, case: &str, measure: &str) -> &str {
        let mut lines = self.ratios.iter().rev();
        let line = lines.find(|line| line.case == case && line.measure == measure);
        line.map_or("never", |line| &line.commit)
    }
}

fn read<L: DeserializeOwned>(folder: &Path, name: &str) -> Result<Vec<L>, Failure> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::Input(format!("{}: {error}", path.display()))),
    };
    let lines = text.lines().enumerate().map(|(at, line)| {
        serde_json::from_str(line).map_err(|error| {
            Failure::Input(format!(
                "{}: line {} is cut off or changed by hand ({error}): restore it with git, baselines \
                 are only appended to",
                path.display(),
                at + 1
            ))
        })
    });
    lines.collect()
}

fn append<L: Serialize>(folder: &Path, name: &str, lines: &[L]) -> Result<(), Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::Input(format!("perf/baselines/{name} cannot be written: {error}"))
    };
    fs::create_dir_all(folder).map_err(|error| broken(&error))?;
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .open(folder.join(name));
    let mut file = opened.map_err(|error| broken(&error))?;
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line).map_err(|error| broken(&error))?;
        text.push('\n');
    }
    file.write_all(text.as_bytes())
        .map_err(|error| broken(&error))
}
