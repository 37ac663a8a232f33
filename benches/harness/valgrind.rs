//! Valgrind: runs this very program again under one of its tools, and reads what that counted.
//!
//! Promise: numbers of a child that ended in order, or what went wrong with it; never those of one that
//! died half way.
//! Cost: the child, some fifty times slower than it is alone, and once a copy of this program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tool {
    /// Instructions.
    Callgrind,
    /// Blocks and bytes of the heap.
    Dhat,
}

/// What was counted in a whole run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Reading {
    /// Instructions; of callgrind alone.
    pub instructions: f64,
    /// Bytes allocated; of dhat alone.
    pub bytes: f64,
    /// Blocks allocated; of dhat alone.
    pub blocks: f64,
}

/// Whether there is a valgrind.
///
/// # Errors
///
/// If not: what to install.
pub fn has_valgrind() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").output();
    found.map(drop).map_err(|error| {
        format!(
            "valgrind cannot be started ({error}): install it (Debian: apt-get install valgrind)"
        )
    })
}

/// Runs this program with these arguments under a tool.
///
/// # Errors
///
/// If it cannot be started, did not end in order, or nothing was counted: its last word.
pub fn under_valgrind(tool: Tool, arguments: &[&str]) -> Result<Reading, String> {
    let (name, mark) = match tool {
        Tool::Callgrind => ("callgrind", "Collected :"),
        Tool::Dhat => ("dhat", "Total:"),
    };
    let output = Command::new("valgrind")
        .arg(format!("--tool={name}"))
        .arg(format!("--{name}-out-file=/dev/null"))
        .arg(lean()?)
        .args(arguments)
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let numbers = text.lines().find_map(|line| numbers_behind(mark, line));
    let read = numbers.as_deref().filter(|_| output.status.success());
    match (tool, read) {
        (Tool::Callgrind, Some(&[instructions, ..])) => Ok(Reading {
            instructions,
            ..Reading::default()
        }),
        (Tool::Dhat, Some(&[bytes, blocks, ..])) => Ok(Reading {
            bytes,
            blocks,
            ..Reading::default()
        }),
        _ => Err(format!(
            "{name} counted nothing ({}): {}",
            output.status,
            text.lines().last().unwrap_or("it said nothing")
        )),
    }
}

/// This program without what only a debugger reads: a tool would read all of that first, in every run.
fn lean() -> Result<&'static Path, String> {
    static LEAN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = LEAN.get_or_init(|| {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(stripped(&program).unwrap_or(program))
    });
    made.as_deref().map_err(Clone::clone)
}

/// A copy of a program beside it; nothing where it cannot be made.
fn stripped(program: &Path) -> Option<PathBuf> {
    let (copy, lean) = (
        program.with_extension(format!("lean-{}", std::process::id())),
        program.with_extension("lean"),
    );
    let strip = Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(&copy)
        .arg(program)
        .output();
    let made = strip.is_ok_and(|output| output.status.success());
    // Renamed: another one that counts meanwhile has the old copy or the new one.
    (made && fs::rename(&copy, &lean).is_ok()).then_some(lean)
}

/// The numbers of a line behind its mark; none if it has no such mark.
fn numbers_behind(mark: &str, line: &str) -> Option<Vec<f64>> {
    let (_, behind) = line.split_once(mark)?;
    let words = behind.split_whitespace();
    let numbers = words.filter_map(|word| word.replace(',', "").parse().ok());
    Some(numbers.collect())
}
