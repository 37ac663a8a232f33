//! The command as its users meet it: what it refuses, and what a crash leaves behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn perf(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plunge-perf"));
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

const MACHINE: &str = r#"{"kind":"machine","commit":"a","compiler":"b","cpu":"c","cores":2,"kernel":"d","load":0.0,"command":"e","began_unix_seconds":1,"versions":{}}"#;

#[test]
fn an_unknown_case_is_named_with_those_there_are() {
    let output = perf(&["suite", "no_such_case"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no case 'no_such_case'; there are: one_task"));
}

#[test]
fn a_truncated_record_is_refused_with_the_line_that_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("cut.ndjson");
    fs::write(&record, format!("{MACHINE}\n{{\"kind\":\"block\",\"ca")).unwrap();
    for arguments in [
        &["report", path(&record)] as &[&str],
        &["compare", path(&record), path(&record)],
    ] {
        let output = perf(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("line 2 is cut off"), "{output:?}");
    }
}

#[test]
fn a_file_that_is_no_record_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("other.ndjson");
    fs::write(&record, "").unwrap();
    let output = perf(&["report", path(&record)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("is empty"));
    let output = perf(&["report", "no/such/file"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("cannot be read"));
}

#[test]
fn a_reader_that_goes_away_ends_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_plunge-perf"))
        .args(["suite", "--quick", "one_task", "--out", path(folder.path())])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn blocks_of_near_cores_are_held_against_none_of_far_ones() {
    let folder = tempfile::tempdir().unwrap();
    let record = |cores: &str| {
        let path = folder.path().join(cores);
        let block = format!(
            r#"{{"kind":"block","case":"hits_2","subject":"plunge","round":0,"ns_per_cycle":9.0,"evenness":1.0,"cores":"{cores}","waits":[]}}"#
        );
        fs::write(&path, format!("{MACHINE}\n{block}\n")).unwrap();
        path
    };
    let (near, far) = (record("near"), record("far"));
    let output = perf(&["compare", path(&near), path(&far)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said(&output).contains("nothing in common"), "{output:?}");
    let output = perf(&["compare", path(&near), path(&near)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_crash_of_one_case_loses_no_other_case() {
    let folder = tempfile::tempdir().unwrap();
    let output = perf(&[
        "suite",
        "--quick",
        "--out",
        path(folder.path()),
        "--plant-crash",
        "one_task",
        "one_task",
        "hits_2",
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("FAILED: one_task: the case ended with signal: 6"));
    let files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let record = files
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "ndjson"))
        .unwrap();
    let text = fs::read_to_string(record).unwrap();
    let blocks = |case: &str| {
        text.matches(&format!(r#""case":"{case}","subject""#))
            .count()
    };
    assert_eq!(blocks("one_task"), 1, "what was measured before the crash");
    assert!(blocks("hits_2") > 20);
    let page = fs::read_to_string(record.with_extension("html")).unwrap();
    assert!(page.contains("FAILED: one_task"));
    assert!(!page.contains("http"), "nothing is loaded from elsewhere");

    let output = perf(&["compare", path(record), path(record)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("| hits_2 |"));
}
