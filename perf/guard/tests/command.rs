//! The command as its users meet it: what it refuses, and what one case that fails leaves of the others.

use std::fs;
use std::process::{Command, Output, Stdio};

fn guard(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guard"));
    command.args(arguments);
    command
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}

const COUNT: &str = r#"{"case":"replaced","measure":"instructions","value":1e9,"commit":"a","compiler":"b","reason":"c"}"#;

#[test]
fn an_unknown_case_is_named_with_those_there_are() {
    for arguments in [["explain", "no_such_case"], ["check", "no_such_case"]] {
        let output = guard(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = said(&output);
        assert!(
            said.contains("no case 'no_such_case'; there are: "),
            "{said}"
        );
        assert!(said.contains("handoff"), "{said}");
    }
}

#[test]
fn without_a_case_it_says_what_each_fence_catches() {
    let output = guard(&["explain"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).contains("| fence | catches |"), "{output:?}");
}

#[test]
fn a_cut_off_line_of_a_baseline_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!("{COUNT}\n{{\"case\":\"hit\",\"meas");
    fs::write(folder.path().join("counts.ndjson"), lines).unwrap();
    let path = folder.path().to_str().unwrap();
    for task in [&["explain", "hit"] as &[&str], &["check"], &["selftest"]] {
        let output = guard(&[task, &["--baselines", path]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said(&output).contains("line 2 is cut off"), "{output:?}");
    }
}

#[test]
fn without_a_baseline_it_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let output = guard(&["check", "--baselines", path]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said(&output).contains("-p guard -- record"), "{output:?}");
}

#[test]
fn without_valgrind_it_says_what_to_install() {
    let nothing = tempfile::tempdir().unwrap();
    let mut check = command(&["check", "hit"]);
    let output = check.env("PATH", nothing.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        said(&output).contains("apt-get install valgrind"),
        "{output:?}"
    );
}

#[test]
fn a_reader_that_goes_away_changes_no_verdict() {
    let nothing = tempfile::tempdir().unwrap();
    // Without valgrind: it ends behind its first line.
    let mut check = command(&["check", "hit"]);
    let check = check.env("PATH", nothing.path()).stdout(Stdio::piped());
    let mut child = check.stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_case_that_crashes_takes_nothing_from_the_others() {
    let check = [
        "check",
        "--counts-only",
        "--plant",
        "crash",
        "hit",
        "replaced",
    ];
    let folder = tempfile::tempdir().unwrap();
    let allocations = COUNT.replace("instructions", "allocations");
    fs::write(
        folder.path().join("counts.ndjson"),
        format!("{COUNT}\n{allocations}\n"),
    )
    .unwrap();
    let path = folder.path().to_str().unwrap();
    let output = guard(&[&check as &[&str], &["--baselines", path]].concat());
    let said = said(&output);
    assert!(
        said.contains("not measured: hit: callgrind counted nothing"),
        "{said}"
    );
    assert!(said.contains("  replaced instructions: "), "{said}");
    assert!(said.contains("  replaced allocations: "), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
}
