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
    /// The processor's name, family, model and stepping: a virtual machine's name for it may stand for several kinds.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
}

impl Place {
    /// Looks around.
    pub fn here() -> Self {
        Self {
            commit: said("git", &["describe", "--always", "--dirty"]),
            compiler: said("rustc", &["--version"]),
            cpu: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The kind of the first processor of a list as the kernel gives it.
fn processor(list: &str) -> String {
    let first = list.split("\n\n").next().unwrap_or_default();
    let fields = first.lines().filter_map(|line| line.split_once(':'));
    let fields: Vec<(&str, &str)> = fields
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let of = |wanted| fields.iter().find(|(name, _)| *name == wanted);
    let numbers = [
        ("family", "cpu family"),
        ("model", "model"),
        ("stepping", "stepping"),
    ];
    let numbers =
        numbers.map(|(word, name)| of(name).map(|(_, value)| format!(", {word} {value}")));
    let name = of("model name").map_or("unknown", |(_, value)| value);
    format!("{name}{}", numbers.map(Option::unwrap_or_default).concat())
}

/// What a program says, or `unknown`.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| String::from("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_processor_is_more_than_the_name_that_a_virtual_machine_gives_it() {
        let list = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n\nmodel\t: 9\n";
        assert_eq!(processor(list), "AMD EPYC, family 25, model 17, stepping 1");
        assert_eq!(processor("CPU part\t: 0xd0c\n"), "unknown");
    }
}
