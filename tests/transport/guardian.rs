//! What a child started does not survive a program that was killed, if it has a guardian.

use std::io::{BufRead, BufReader, stdin};
use std::process::Stdio;

use plunge::transport::{Subprocess, guard_groups};

use crate::support::{has_ended, sh, until_blocking};

/// Set in a process that plays the guardian, and in one that plays the program.
const GUARDIAN: &str = "PLUNGE_TEST_GUARDIAN";
const PROGRAM: &str = "PLUNGE_TEST_PROGRAM";

#[test]
fn plays_the_guardian() {
    if std::env::var_os(GUARDIAN).is_some() {
        guard_groups(stdin().lock()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn plays_the_program() {
    if std::env::var_os(PROGRAM).is_some() {
        // The guardian inherits the variable; it plays nothing else.
        let this = std::env::current_exe().unwrap();
        let play = ["guardian::plays_the_guardian", "--exact"];
        let tree = "sleep 1000 & echo $$ $!; sh -c 'sleep 1000 & echo $!; wait' & wait";
        let tree = sh(tree).env_remove(PROGRAM).guarded_by(this, play);
        let child = Subprocess::spawn(tree).await.unwrap();
        let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
        child.attach(std::sync::Arc::new(Told(told)));
        let mut ids = Vec::new();
        while ids.len() < 3 {
            let line = String::from_utf8(lines.recv().await.unwrap().to_vec()).unwrap();
            ids.extend(line.split(' ').map(str::to_owned));
        }
        println!("\ntree {}", ids.join(" "));
        std::future::pending().await // until it is killed
    }
}

struct Told(tokio::sync::mpsc::UnboundedSender<bytes::Bytes>);

impl plunge::transport::LineSink for Told {
    fn on_line(&self, line: bytes::Bytes) {
        let _ = self.0.send(line);
    }

    fn on_death(&self, _: &plunge::transport::Death) {}
}

#[test]
fn no_process_of_the_tree_survives_a_program_that_was_killed() {
    let mut program = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["guardian::plays_the_program", "--exact", "--nocapture"])
        .envs([(PROGRAM, "1"), (GUARDIAN, "1")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let tree: Vec<u32> = lines
        .map(Result::unwrap)
        .find_map(|line| {
            let ids = line.strip_prefix("tree ")?.split(' ');
            Some(ids.map(|id| id.parse().unwrap()).collect())
        })
        .expect("the program told of its tree");
    assert!(tree.len() == 3 && tree.iter().all(|id| !has_ended(*id)));
    program.kill().unwrap();
    program.wait().unwrap();
    for id in tree {
        until_blocking("the process is ended", || has_ended(id));
    }
}

#[test]
fn lines_that_name_no_group_are_passed_over() {
    guard_groups(&b"\n+\n+x\n-5\n+1\n+0\n+-7\n\xff\n"[..]).unwrap();
}
