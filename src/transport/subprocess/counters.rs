//! What a child wrote that was not an answer.

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
    /// Last lines that were cut off by the end of the output.
    pub unterminated: u64,
    /// Lines read from its standard error.
    pub stderr_lines: u64,
    /// Lines of standard error that were not logged, because there were too many.
    pub stderr_suppressed: u64,
}
