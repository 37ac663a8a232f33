//! Heap: what an idle connection weighs, and the live heap while operations go on.
//!
//! Promise: measured by a program of its own on jemalloc (`perf/heap`), so that its allocator is
//! under no timed case, and in a process a subject, so that one that crashes takes no other's weight
//! along. Where it was not built and cannot be, the record says so.
//! Cost: building it once takes a minute; measuring some seconds.

use std::path::PathBuf;
use std::process::Command;

use crate::record::Line;

/// The program that weighs.
pub struct Scales(PathBuf);

impl Scales {
    /// Builds it, unless it is built.
    pub fn build() -> Result<Self, String> {
        let output = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--package", "plunge-heap"])
            .args(["--message-format", "json-render-diagnostics"])
            .output()
            .map_err(|error| format!("cargo cannot be started: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("plunge-heap cannot be built: {}", said.trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text
            .lines()
            .flat_map(serde_json::from_str::<serde_json::Value>);
        let mut programs = messages.filter_map(|message| {
            let program = message["executable"].as_str()?;
            (message["target"]["name"] == "plunge-heap").then(|| PathBuf::from(program))
        });
        let program = programs.next();
        program
            .map(Self)
            .ok_or_else(|| String::from("cargo built no plunge-heap"))
    }

    /// What an idle connection of one subject weighs.
    pub fn weigh(&self, subject: &str) -> Result<Vec<Line>, String> {
        self.run(&["weigh", subject])
    }

    /// Our live heap while operations go on, so many thousand between two readings.
    pub fn watch(&self, thousands: u64) -> Result<Vec<Line>, String> {
        self.run(&["watch", &thousands.to_string()])
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<Line>, String> {
        let output = Command::new(&self.0).args(arguments).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let words = arguments.join(" ");
            return Err(format!("{words}: {}: {}", output.status, said.trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
    }
}
