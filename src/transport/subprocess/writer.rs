//! Lines on their way to a child.

use std::fmt;

use bytes::Bytes;

use super::death::Death;

/// Why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The child is dead.
    Dead(Death),
    /// The child does not read fast enough and the queue is full. Only from
    /// [`try_write`](LineWriter::try_write).
    Full,
    /// The line contains a line break, which would make it two.
    LineBreak,
}

/// Queues lines for a child; clones are cheap and write to the same child.
#[derive(Clone)]
pub struct LineWriter {}

impl LineWriter {
    /// Queues one line, waiting for room if the child does not read. The line end is added.
    ///
    /// # Errors
    ///
    /// [`WriteError::Dead`] once the child is dead, [`WriteError::LineBreak`] if `line` contains one.
    ///
    /// # Cancel safety
    ///
    /// Dropped while waiting, nothing was queued.
    pub async fn write(&self, line: Bytes) -> Result<(), WriteError> {
        let _ = line;
        todo!()
    }

    /// Queues one line if there is room now.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`WriteError::Full`].
    pub fn try_write(&self, line: Bytes) -> Result<(), WriteError> {
        let _ = line;
        todo!()
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(death) => write!(f, "the child takes no more lines: {death}"),
            Self::Full => f.write_str("the child does not read its input and its queue is full"),
            Self::LineBreak => {
                f.write_str("a message is one line: replace its line breaks by spaces")
            }
        }
    }
}

impl std::error::Error for WriteError {}
