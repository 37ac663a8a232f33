//! The task that reads a child's standard output.
//!
//! Promise: every line that the child wrote before its death is delivered before its death is told;
//! the end of the output is death; a program that exits right after its first answer to a request is
//! dead before that answer is returned, so that no pool keeps it; a panicking sink costs this child and nothing else.
//! Cost: one system call for each chunk, one search and one reference count for each line.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, Sleep, sleep};

use super::buffer::{LineBuffer, TooLong, is_closed_json, starts_like_json};
use super::death::Death;
use super::link::Link;
use super::log::{LogBudget, printable};
use super::sink::Current;
use crate::sync::Arc;

/// Most bytes read after the death: more than a pipe holds, less than for ever.
const LAST_BYTES: usize = 1 << 20;
/// Noise lines logged a second for each child.
const LOG_LINES: u32 = 5;

pub(super) struct Reader {
    link: Arc<Link>,
    stdout: pipe::Receiver,
    buffer: LineBuffer,
    log: LogBudget,
    /// Nothing more is delivered: framing was lost, or the sink panicked.
    broken: bool,
    probation: Probation,
}

/// Whether the child exits after its first answer to a request.
enum Probation {
    /// It answered none; its first answer is held back this long.
    Ahead(Duration),
    /// Its first answer waits for its exit, or for the time to be over.
    Holding(Bytes, Pin<Box<Sleep>>),
    /// It stayed.
    Over,
}

impl Reader {
    pub(super) fn new(link: Arc<Link>, stdout: pipe::Receiver, grace: Duration) -> Self {
        let buffer = LineBuffer::new(link.max_line_bytes);
        let grace = if link.single_shot {
            Duration::ZERO
        } else {
            grace
        };
        let probation = if grace.is_zero() {
            Probation::Over
        } else {
            Probation::Ahead(grace)
        };
        Self {
            link,
            stdout,
            buffer,
            log: LogBudget::new(LOG_LINES),
            broken: false,
            probation,
        }
    }

    /// Reads until the child is dead, then tells so.
    pub(super) async fn run(mut self) {
        let link = self.link.clone();
        let woken = link.reader.notified();
        tokio::pin!(woken);
        while !link.state.is_dead() {
            tokio::select! {
                biased;
                read = self.stdout.read_buf(self.buffer.for_read()) => self.take_chunk(read),
                () = &mut woken => {}
                () = self.probation.passed() => self.answer_held(),
            }
        }
        self.take_last();
        self.answer_held();
    }

    fn take_chunk(&mut self, read: io::Result<usize>) {
        match read {
            Ok(count) if count > 0 => {
                self.buffer.came(count);
                self.deliver();
            }
            Ok(_) | Err(_) => {
                self.deliver_rest();
                self.link.die(Death::StdoutClosed);
            }
        }
    }

    /// Delivers what a dead child left in the pipe. Asks the pipe itself: the runtime may not have
    /// seen yet that there is something to read.
    fn take_last(&mut self) {
        let mut chunk = [0; 8 << 10];
        let mut left = LAST_BYTES;
        while left > 0 && !self.broken {
            match rustix::io::read(&self.stdout, &mut chunk) {
                Ok(0) => return self.deliver_rest(),
                Ok(count) => {
                    self.buffer.extend(&chunk[..count]);
                    self.deliver();
                    left = left.saturating_sub(count);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return, // nothing more now; somebody else may still hold the other end
            }
        }
    }

    /// Delivers the whole lines in the buffer.
    fn deliver(&mut self) {
        // A sink is user code; what it leaves behind when it panics is not used again.
        let delivered = catch_unwind(AssertUnwindSafe(|| self.deliver_lines()));
        self.broken = !matches!(delivered, Ok(Ok(())));
        match delivered {
            Ok(Ok(())) => {}
            Ok(Err(TooLong)) => {
                self.link.counters.too_long.add(1);
                tracing::warn!(
                    pid = self.link.pid,
                    limit = self.link.max_line_bytes,
                    "child wrote a line over the limit"
                );
                self.link.die(Death::BrokenFraming);
            }
            Err(_) => {
                tracing::error!(pid = self.link.pid, "the sink of a child panicked");
                self.link.die(Death::Unattended);
            }
        }
    }

    fn deliver_lines(&mut self) -> Result<(), TooLong> {
        // Whoever is there now gets the whole chunk: what was read before a request is no answer to it.
        let mut current = match self.probation {
            Probation::Holding(..) => Current::Nobody, // the request has its answer already
            Probation::Ahead(_) | Probation::Over => self.link.sink.current(),
        };
        let mut lines = 0;
        while let Some(line) = self.buffer.next_line()? {
            lines += 1;
            self.link.came(lines); // before the line: whoever it wakes may write at once
            self.deliver_line(line, &mut current);
        }
        Ok(())
    }

    fn deliver_line(&mut self, line: Bytes, current: &mut Current) {
        let counters = &self.link.counters;
        counters.lines.add(1);
        let json = starts_like_json(&line);
        if !json {
            counters.not_json.add(1);
        }
        if str::from_utf8(&line).is_err() {
            counters.invalid_utf8.add(1);
        }
        match current {
            Current::Sink(sink) => sink.on_line(line),
            Current::Request { json: true } if !json => {
                self.log_noise("is no answer to a JSON request", &line)
            }
            Current::Request { .. } => {
                *current = Current::Nobody;
                self.answer(line);
            }
            Current::Nobody => {
                counters.unsolicited.add(1);
                self.log_noise("was not asked for", &line);
            }
        }
    }

    /// Answers the request, or holds the answer back if it is the first.
    fn answer(&mut self, line: Bytes) {
        match self.probation {
            Probation::Ahead(grace) if !self.link.state.is_dead() => {
                self.probation = Probation::Holding(line, Box::pin(sleep(grace)));
            }
            _ => {
                self.link.sink.answer(line); // who dropped the request has made the child dead
            }
        }
    }

    fn answer_held(&mut self) {
        if let Probation::Holding(line, _) = std::mem::replace(&mut self.probation, Probation::Over)
        {
            self.link.sink.answer(line);
        }
    }

    /// Delivers the last line of an output that ended without a line end, if it is whole.
    fn deliver_rest(&mut self) {
        let rest = self.buffer.rest();
        if rest.is_empty() {
            return;
        }
        if starts_like_json(&rest) && !is_closed_json(&rest) {
            self.link.counters.unterminated.add(1);
            self.log_noise("was cut off by the end of the output", &rest);
            return;
        }
        self.buffer.extend(&rest);
        self.buffer.extend(b"\n");
        self.deliver();
    }

    fn log_noise(&mut self, what: &str, line: &[u8]) {
        if !tracing::enabled!(tracing::Level::WARN) {
            return;
        }
        if let Some(suppressed) = self.log.admit(Instant::now()) {
            let line = printable(line);
            tracing::warn!(pid = self.link.pid, suppressed, %line, "a line of a child {what}");
        }
    }
}

impl Probation {
    /// Returns when an answer was held back for long enough.
    async fn passed(&mut self) {
        match self {
            Self::Holding(_, time) => time.as_mut().await,
            Self::Ahead(_) | Self::Over => std::future::pending().await,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.die(Death::Unattended); // only if it lives: dropped with its runtime
        let death = self.link.state.death().unwrap_or(Death::Unattended);
        // A panic here would end the program if the runtime is unwinding.
        let told = catch_unwind(AssertUnwindSafe(|| self.link.sink.end(death)));
        if told.is_err() {
            tracing::error!(
                pid = self.link.pid,
                "the sink of a child panicked at its death"
            );
        }
    }
}
