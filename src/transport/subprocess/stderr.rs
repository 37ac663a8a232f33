//! The task that drains a child's standard error into the log.
//!
//! Promise: the child never waits for its standard error; what is logged is bounded in length and
//! rate, what is not logged is counted. An end that nobody here asked for is told with the last line.
//! Cost: 4 KiB a child, from its first byte on.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::death::Death;
use super::link::Link;
use super::log::{LogBudget, printable};
use crate::sync::Arc;

/// Lines logged a second for each child.
const LOG_LINES: u32 = 100;
/// A longer line is logged in pieces.
const LINE_BYTES: usize = 4 << 10;
/// What is kept of the last line.
const LAST_BYTES: usize = 256;
/// Reads after the process is gone: as much as a pipe holds.
const LAST_READS: usize = 16;

pub(super) struct Stderr {
    link: Arc<Link>,
    stderr: pipe::Receiver,
    log: LogBudget,
    held: Vec<u8>,
    /// The last line that says something.
    last: Vec<u8>,
}

impl Stderr {
    pub(super) fn new(link: Arc<Link>, stderr: pipe::Receiver) -> Self {
        Self {
            link,
            stderr,
            log: LogBudget::new(LOG_LINES),
            held: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Drains until the process is gone: somebody who left its process group may hold the other end for ever.
    pub(super) async fn run(mut self) {
        let link = self.link.clone();
        let woken = link.stderr.notified();
        tokio::pin!(woken);
        let mut is_open = true;
        while !link.state.is_gone() {
            tokio::select! {
                biased;
                read = self.read(), if is_open => match read {
                    Ok(count) if count > 0 => self.log_lines(),
                    Ok(_) | Err(_) => is_open = false,
                },
                () = &mut woken => {}
            }
        }
        self.log_rest();
        self.log_end();
    }

    /// Tells of a failure, and of an end without a word: who waits for an answer learns of it as well, but nobody
    /// may.
    fn log_end(&self) {
        let is_own = matches!(
            self.link.state.death(),
            Some(Death::Exited(_) | Death::StdoutClosed | Death::WriteFailed)
        );
        let Some(status) = self.link.state.exit_status().filter(|_| is_own) else {
            return;
        };
        if !status.success() || self.link.counters.lines.get() == 0 {
            let (pid, said) = (self.link.pid, printable(&self.last));
            tracing::warn!(pid, said, "a child ended by itself, with {status}");
        }
    }

    /// Reads what there is. Memory is taken with the first byte: most children never write here.
    async fn read(&mut self) -> io::Result<usize> {
        if self.held.capacity() == 0 {
            self.stderr.readable().await?;
            self.held.reserve_exact(LINE_BYTES);
        }
        self.stderr.read_buf(&mut self.held).await
    }

    /// Logs the whole lines that are held, or all of it if it is as long as a line may be.
    fn log_lines(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &held) {
            self.log_line(&held[start..end]);
            start = end + 1;
        }
        held.drain(..start);
        if held.len() >= LINE_BYTES {
            self.log_line(&held);
            held.clear();
        }
        self.held = held;
    }

    /// Logs what a process that is gone left in the pipe, and a last line without its end.
    fn log_rest(&mut self) {
        let mut chunk = [0; LINE_BYTES];
        for _ in 0..LAST_READS {
            match rustix::io::read(&self.stderr, &mut chunk) {
                Ok(count) if count > 0 => {
                    self.held.extend_from_slice(&chunk[..count]);
                    self.log_lines();
                }
                _ => break,
            }
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.log_line(&held);
        }
    }

    fn log_line(&mut self, line: &[u8]) {
        let counters = &self.link.counters;
        counters.stderr_lines.add(1);
        if !line.trim_ascii().is_empty() {
            self.last.clear();
            self.last
                .extend_from_slice(&line[..line.len().min(LAST_BYTES)]);
        }
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        match self.log.admit(Instant::now()) {
            Some(suppressed) => tracing::info!(
                pid = self.link.pid,
                suppressed,
                "child: {}",
                printable(line)
            ),
            None => counters.stderr_suppressed.add(1),
        }
    }
}
