//! Child: a case in a process of its own, heard line by line.
//!
//! Promise: what it printed is given on whatever becomes of it; one that is silent for too long is ended,
//! and none outlives its `Child`.
//! Cost: a process and a thread a case.

use std::io::{self, BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How long a case may be silent: a block is over in a second, and says itself what is stuck after ten.
const PATIENCE: Duration = Duration::from_secs(90);

const SECOND: Duration = Duration::from_secs(1);

/// A case that is played.
pub struct Child {
    process: process::Child,
    lines: Receiver<String>,
}

/// What comes of a case next.
pub enum Heard {
    /// A line that it printed.
    Line(String),
    /// It ended in order, or what went wrong.
    End(Result<(), String>),
}

impl Child {
    /// Starts this very program with other arguments.
    pub fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(output) = process.stdout.take() {
            thread::spawn(move || {
                for text in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(text);
                }
            });
        }
        Ok(Self { process, lines })
    }

    /// Waits for its next line, or for its end.
    pub fn hear(&mut self) -> Heard {
        // Second by second: a machine that stood still is not held against the case.
        let mut silent = Duration::ZERO;
        while silent < PATIENCE {
            match self.lines.recv_timeout(SECOND) {
                Ok(text) => return Heard::Line(text),
                Err(RecvTimeoutError::Timeout) => silent += SECOND,
                Err(RecvTimeoutError::Disconnected) => return Heard::End(self.end()),
            }
        }
        Heard::End(Err(format!("silent for {} s: stopped", PATIENCE.as_secs())))
    }

    fn end(&mut self) -> Result<(), String> {
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the case ended with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both are nothing for one that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
