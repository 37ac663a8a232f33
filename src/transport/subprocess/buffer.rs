//! Output of a child, cut into lines.
//!
//! Promise: no byte is copied on its way to a line, no byte is searched twice, and a line over the
//! limit is an error before it takes more memory than the limit and one read.
//! Cost: one search for each line; memory that one long line needed is given back after it.

use bytes::{Bytes, BytesMut};

/// The smallest room for a read, and the first allocation.
const SMALL_READ: usize = 4 << 10;
/// The largest room for a read: what a pipe holds.
const LARGE_READ: usize = 64 << 10;
/// A buffer that ever held more than this is replaced when it can be.
const KEEP: usize = 256 << 10;

/// A line over the limit: where the next message starts is unknown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Bytes that were read and are not yet lines.
pub(super) struct LineBuffer {
    bytes: BytesMut,
    /// Bytes at the start that contain no line end.
    searched: usize,
    /// Room to offer to the next read.
    read: usize,
    /// Most bytes held since the memory was new.
    high_water: usize,
    limit: usize,
}

impl LineBuffer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            searched: 0,
            read: SMALL_READ,
            high_water: 0,
            limit,
        }
    }

    /// The buffer, with room for the next read.
    pub(super) fn for_read(&mut self) -> &mut BytesMut {
        if self.high_water > KEEP && self.bytes.len() <= KEEP {
            self.bytes = BytesMut::from(&self.bytes[..]);
            self.high_water = self.bytes.len();
        }
        if self.room() < self.read / 2 {
            self.bytes.reserve(self.read);
        }
        &mut self.bytes
    }

    /// Notes that `count` bytes came; a read that filled its room makes the next one larger.
    pub(super) fn came(&mut self, count: usize) {
        self.high_water = self.high_water.max(self.bytes.len());
        if count >= self.read / 2 && self.room() == 0 {
            self.read = (self.read * 2).min(LARGE_READ);
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole line, without its line end (`\n` or `\r\n`).
    pub(super) fn next_line(&mut self) -> Result<Option<Bytes>, TooLong> {
        let Some(found) = memchr::memchr(b'\n', &self.bytes[self.searched..]) else {
            self.searched = self.bytes.len();
            return if self.searched > self.limit {
                Err(TooLong)
            } else {
                Ok(None)
            };
        };
        let end = self.searched + found;
        self.searched = 0;
        if end > self.limit {
            return Err(TooLong);
        }
        let mut line = self.bytes.split_to(end + 1);
        line.truncate(end - usize::from(end > 0 && line[end - 1] == b'\r'));
        Ok(Some(line.freeze()))
    }

    /// Takes what is left after the last line end, at the end of the output.
    pub(super) fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.bytes.split().freeze()
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }
}

/// Whether a line starts like a JSON object or array.
pub(super) fn starts_like_json(line: &[u8]) -> bool {
    let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'{' | b'['))
}

/// Whether every bracket and string opened in a line is closed, as in a JSON text that is complete.
pub(super) fn is_closed_json(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth == 0 && !in_string
}
