//! Why a child is no longer served.
//!
//! Promise: the first reason is kept; what happens to the process afterwards does not change it.

use std::fmt;
use std::process::ExitStatus;

/// Why a child is dead for the pool. The process itself may live a little longer: its retirement
/// starts at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Death {
    /// Its standard output reached the end. The process may still be running.
    StdoutClosed,
    /// The process ended. Something it started may still hold its output.
    Exited(ExitStatus),
    /// Its standard input took no more: it closed it, or it is gone.
    WriteFailed,
    /// It wrote a line longer than the limit, so the start of the next message is unknown.
    BrokenFraming,
    /// A request was dropped before its answer arrived, which now belongs to nobody.
    Interrupted,
    /// Nobody reads its output any more: the runtime that did was shut down, or a sink panicked.
    Unattended,
    /// It answered the one request that it was started for.
    Served,
    /// Its owner closed or dropped it.
    Retired,
    /// It ended, but somebody else in this program took its exit status.
    ReapedElsewhere,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StdoutClosed => f.write_str("it closed its standard output"),
            Self::Exited(status) => write!(f, "it ended with {status}"),
            Self::WriteFailed => f.write_str("it no longer reads its standard input"),
            Self::BrokenFraming => f.write_str("it wrote a line longer than the limit"),
            Self::Interrupted => f.write_str("a request to it was dropped before the answer"),
            Self::Unattended => f.write_str("nobody reads its output any more"),
            Self::Served => f.write_str("it answered its one request"),
            Self::Retired => f.write_str("it was retired"),
            Self::ReapedElsewhere => {
                f.write_str("it ended and its exit status was taken by somebody else")
            }
        }
    }
}
