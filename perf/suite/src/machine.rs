//! Machine: what a number belongs to.
//!
//! Promise: what cannot be found out is `unknown`, never a failure.
//! Cost: three short processes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use plunge_peers::versions;

use crate::record::Machine;

/// Looks around.
pub fn look() -> Machine {
    let versions: BTreeMap<String, String> = versions()
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version))
        .collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Machine {
        commit: said("git", &["describe", "--always", "--dirty"]),
        compiler: said("rustc", &["--version"]),
        cpu: cpu(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: said("uname", &["-sr"]),
        load: load(),
        command: command(),
        began_unix_seconds: since.map_or(0, |since| since.as_secs()),
        versions,
    }
}

/// The load average of the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// The arguments as given, without the path of the program.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("plunge-perf {}", words.join(" "))
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown").to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| String::from("unknown"))
}
