//! How much of what a child says may be logged.
//!
//! Promise: at most so many lines a second; the rest is counted, and the count is told with the
//! next line that is logged. A state machine: the time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Longest piece of a line that is logged.
const LINE_BYTES: usize = 1 << 10;
const WINDOW: Duration = Duration::from_secs(1);

/// A number of log lines a second.
#[derive(Debug)]
pub(super) struct LogBudget {
    lines: u32,
    left: u32,
    window: Option<Instant>,
    suppressed: u64,
}

impl LogBudget {
    pub(super) fn new(lines: u32) -> Self {
        Self {
            lines,
            left: 0,
            window: None,
            suppressed: 0,
        }
    }

    /// Asks for one line: `Some(n)` if it may be logged, `n` being those refused before it.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        let fresh = self
            .window
            .is_none_or(|start| now.saturating_duration_since(start) >= WINDOW);
        if fresh {
            self.window = Some(now);
            self.left = self.lines;
        }
        if self.left == 0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// What a child wrote, fit for a log line: bounded, and without control characters.
pub(super) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]);
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}
