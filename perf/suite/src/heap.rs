//! Heap: what an idle connection weighs, and the live heap while operations go on.
//!
//! Promise: measured by a program of its own on jemalloc (`perf/heap`), so that its allocator is
//! under no timed case. Where it was not built and cannot be, the record says so.
//! Cost: building it once takes a minute; measuring some seconds.

use std::path::PathBuf;
use std::process::Command;

use crate::record::Line;

/// Builds the program and reads what it says.
pub fn measure(quick: bool) -> Result<Vec<Line>, String> {
    let program = build()?;
    let mut command = Command::new(program);
    command.arg("weigh").args(quick.then_some("--quick"));
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("plunge-heap: {}: {}", output.status, said.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn build() -> Result<PathBuf, String> {
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
    programs
        .next()
        .ok_or_else(|| String::from("cargo built no plunge-heap"))
}
