//! Where the lines of a child go.

use bytes::Bytes;

use super::death::Death;

/// Takes the lines of a child, in order.
///
/// Called on the task that reads the child: a slow sink slows that child, nothing else. A sink that
/// panics costs its child ([`Death::Unattended`]).
pub trait LineSink: Send + Sync {
    /// Takes one line, without its line end. Any line: it may be empty, no JSON, or invalid UTF-8.
    fn on_line(&self, line: Bytes);

    /// Learns that no line will follow. Called exactly once, after the last line.
    fn on_death(&self, death: &Death);
}
