//! What a child wrote that was not an answer.
//!
//! Cost: plain stores; each counter has one writer, the task that reads the stream.

use crate::sync::{AtomicU64, Ordering};

/// A snapshot of what a child wrote so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineCounters {
    /// Lines read from its standard output.
    pub lines: u64,
    /// Lines that arrived while nobody was attached and no request waited.
    pub unsolicited: u64,
    /// Lines that do not start like a JSON object or array.
    pub not_json: u64,
    /// Lines that are not UTF-8.
    pub invalid_utf8: u64,
    /// Lines over the limit; the first one ends the child.
    pub too_long: u64,
    /// Last lines that the end of the output cut off.
    pub unterminated: u64,
    /// Lines read from its standard error.
    pub stderr_lines: u64,
    /// Lines of standard error that were not logged, because there were too many.
    pub stderr_suppressed: u64,
}

/// The living counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lines: Counter,
    pub(super) unsolicited: Counter,
    pub(super) not_json: Counter,
    pub(super) invalid_utf8: Counter,
    pub(super) too_long: Counter,
    pub(super) unterminated: Counter,
    pub(super) stderr_lines: Counter,
    pub(super) stderr_suppressed: Counter,
}

/// A count that one task writes and anybody reads.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the one writer may call this: another's addition could be lost.
    #[inline]
    pub(super) fn add(&self, more: u64) {
        // Relaxed: a count, nothing is published by it.
        self.0
            .store(self.0.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn snapshot(&self) -> LineCounters {
        LineCounters {
            lines: self.lines.get(),
            unsolicited: self.unsolicited.get(),
            not_json: self.not_json.get(),
            invalid_utf8: self.invalid_utf8.get(),
            too_long: self.too_long.get(),
            unterminated: self.unterminated.get(),
            stderr_lines: self.stderr_lines.get(),
            stderr_suppressed: self.stderr_suppressed.get(),
        }
    }
}
