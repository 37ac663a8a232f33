//! A child tied to its parent does not survive it, whatever the parent dies of.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use plunge::transport::{Command, SpawnError, Subprocess, exec_tied_to_parent};

use crate::support::{has_ended, sh, until_blocking};

/// Set in a process that plays the launcher, and in one that plays the parent.
const LAUNCHER: &str = "PLUNGE_TEST_LAUNCHER";
const PARENT: &str = "PLUNGE_TEST_PARENT";

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// The command, started through this very program.
fn tied(command: Command) -> Command {
    let play = [
        "launcher::plays_the_launcher",
        "--exact",
        "--nocapture",
        "--",
    ];
    let args = play.map(OsString::from);
    command.env(LAUNCHER, "1").launched_by(this_program(), args)
}

#[test]
fn plays_the_launcher() {
    if std::env::var_os(LAUNCHER).is_some() {
        let args = std::env::args_os().skip_while(|arg| arg != "--").skip(1);
        panic!("{}", exec_tied_to_parent(args));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn plays_the_parent() {
    if std::env::var_os(PARENT).is_some() {
        let sleeper = Command::new("sleep").arg("1000").env_remove(PARENT);
        let child = Subprocess::spawn(tied(sleeper)).await.unwrap();
        println!("\nchild {}", child.pid());
        std::future::pending().await // until it is killed
    }
}

#[tokio::test]
async fn launched_program_is_the_child_itself() {
    let mut child = Subprocess::spawn(tied(sh("read -r line; echo \"[$$]\"; exec cat")))
        .await
        .unwrap();
    assert_eq!(
        child.request(b"[]").await.unwrap(),
        format!("[{}]", child.pid())
    );
    assert_eq!(child.request(b"[2]").await.unwrap(), "[2]");
}

#[tokio::test]
async fn missing_program_is_told_before_the_launcher_runs() {
    for program in ["no-such-program-anywhere", "/no/such/program"] {
        let error = Subprocess::spawn(tied(Command::new(program)))
            .await
            .unwrap_err();
        assert!(matches!(error, SpawnError::NotFound { .. }), "{error:?}");
    }
    let error = Subprocess::spawn(tied(Command::new("/etc/passwd")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SpawnError::NotExecutable { .. }),
        "{error:?}"
    );
}

#[test]
fn child_dies_with_a_parent_that_was_killed() {
    let mut parent = std::process::Command::new(this_program())
        .args(["launcher::plays_the_parent", "--exact", "--nocapture"])
        .env(PARENT, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = parent.stdout.take().unwrap();
    let lines = BufReader::new(output).lines().map(Result::unwrap);
    let told = lines
        .filter_map(|line| line.strip_prefix("child ")?.parse().ok())
        .next();
    let child: u32 = told.expect("the parent told its child's id");
    until_blocking("the launcher became the program", || {
        // The launcher's own line has more words.
        std::fs::read(format!("/proc/{child}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"1000"))
    });
    parent.kill().unwrap();
    parent.wait().unwrap();
    until_blocking("the child is ended", || has_ended(child));
}

#[test]
fn launcher_refuses_what_it_cannot_run() {
    let error = exec_tied_to_parent([OsString::from("no number")]);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
