//! Place: what a number belongs to.
//!
//! Promise: what cannot be found out is `unknown`, never a failure.
//! Cost: two short processes.

use std::fs;
use std::process::Command;

/// Where and with what this was built.
#[derive(Clone, Debug)]
pub struct Place {
    /// The commit, and whether anything is not committed.
    pub commit: String,
    /// The compiler and its version.
    pub compiler: String,
    /// The processor's name.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
}

impl Place {
    /// Looks around.
    pub fn here() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("model name"));
        let cpu = line.and_then(|line| line.split(": ").nth(1));
        Self {
            commit: said("git", &["describe", "--always", "--dirty"]),
            compiler: said("rustc", &["--version"]),
            cpu: cpu.unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What a program says, or `unknown`.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| String::from("unknown"))
}
