//! Machine: what a number belongs to.
//!
//! Promise: what cannot be found out is `unknown`, never a failure.
//! Cost: three short processes.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use plunge_peers::harness::{Place, said};
use plunge_peers::versions;

use crate::record::Machine;

/// Looks around.
pub fn look() -> Machine {
    let versions: BTreeMap<String, String> = versions()
        .into_iter()
        .map(|(name, version)| (name.to_owned(), version))
        .collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let Place {
        commit,
        compiler,
        cpu,
        cores,
    } = Place::here();
    Machine {
        commit,
        compiler,
        cpu,
        cores,
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
