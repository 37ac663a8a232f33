//! The task that reads a child's standard output.
//!
//! Promise: every line that the child wrote before its death is delivered before its death is told;
//! the end of the output is death; a panicking sink costs this child and nothing else.
//! Cost: one system call for each chunk, one search and one reference count for each line.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::buffer::{LineBuffer, TooLong, is_closed_json, starts_like_json};
use super::death::Death;
use super::link::Link;
use super::log::{LogBudget, printable};
use super::sink::Current;

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
}

impl Reader {
    pub(super) fn new(link: Arc<Link>, stdout: pipe::Receiver) -> Self {
        let buffer = LineBuffer::new(link.max_line_bytes);
        Self {
            link,
            stdout,
            buffer,
            log: LogBudget::new(LOG_LINES),
            broken: false,
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
            }
        }
        self.take_last();
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
        let mut current = self.link.sink.current();
        while let Some(line) = self.buffer.next_line()? {
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
                self.link.sink.answer(line);
            }
            Current::Nobody => {
                counters.unsolicited.add(1);
                self.log_noise("was not asked for", &line);
            }
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
