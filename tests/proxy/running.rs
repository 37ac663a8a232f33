//! The command as a process of its own.

use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::configuration::File;
use crate::fixture::PATIENCE;

/// The command; killed with its drop.
pub struct Running {
    pub child: Child,
    pub lines: Lines<BufReader<ChildStdout>>,
    log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub fn new(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plunge"))
            .args(args)
            .env("RUST_LOG", "info")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, log }
    }

    pub fn serving(file: &File) -> Self {
        Self::new(&["serve", "--config", file.0.to_str().unwrap()])
    }

    /// Its next line with this in it.
    pub async fn line(&mut self, with: &str) -> String {
        let find = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(with) {
                    return line;
                }
            }
            panic!("it ended before it said {with:?}");
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| panic!("{with:?} in time"))
    }

    /// What else it says until its end.
    pub async fn rest(&mut self) -> String {
        let read = async {
            let mut said = String::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                said += &line;
            }
            said
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("the end of its output in time")
    }

    /// Waits until its log says this.
    pub async fn log(&mut self, with: &str) {
        let find = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                if line.contains(with) {
                    return;
                }
            }
            panic!("it ended before it logged {with:?}");
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| panic!("{with:?} in time"));
    }

    /// The address that its next line with this in it names.
    pub async fn address(&mut self, with: &str) -> SocketAddr {
        let line = self.line(&format!("{with} http://")).await;
        let address = line.split("http://").nth(1).unwrap();
        let address = address.split(['/', ' ']).next().unwrap();
        address.parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().unwrap() as i32;
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub async fn end(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("its end").unwrap().code()
    }
}
