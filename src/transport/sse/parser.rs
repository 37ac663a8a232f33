//! From bytes to events, as the HTML standard reads them.
//!
//! Promise: any split of the bytes gives the same events; an event beyond the limit is an error, not a
//! growing buffer; bytes that are no UTF-8 are replaced, as a browser does.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type; empty where none was named, which means `message`.
    pub event: String,
    /// Its lines of data, joined by line ends.
    pub data: String,
    /// The id to come back with: its own, or that of the last event that had one.
    pub id: Option<String>,
    /// The pause before a client comes back, where the event named one.
    pub retry: Option<Duration>,
}

/// An event was longer than the limit; the stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The limit.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is longer than {} bytes", self.limit)
    }
}

impl std::error::Error for TooLong {}

/// The state between two pieces of a stream.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// A line that is not whole yet.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it is part of the same line end.
    after_return: bool,
    is_begun: bool,
    event: SseEvent,
    has_data: bool,
    has_id: bool,
    ready: VecDeque<SseEvent>,
}

impl SseParser {
    /// A parser at the begin of a stream, for events of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            is_begun: false,
            event: SseEvent::default(),
            has_data: false,
            has_id: false,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes. What is complete comes from [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// [`TooLong`]; the events before are still there.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                return self.check(0);
            };
            self.check(end)?;
            self.line.extend_from_slice(&bytes[..end]);
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(&line);
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    /// The next complete event. One without data is an event, too: it may carry an id or a pause.
    #[expect(
        clippy::should_implement_trait,
        reason = "more may come after a `None`"
    )]
    pub fn next(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// The id of the event that is being read, or of the last one that had one.
    pub fn id(&self) -> Option<&str> {
        self.event.id.as_deref()
    }

    fn check(&self, more: usize) -> Result<(), TooLong> {
        let held = self.line.len() + more + self.event.data.len();
        if held > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) {
        let line = if std::mem::replace(&mut self.is_begun, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return, // a comment
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let value = String::from_utf8_lossy(value);
        match name {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(&value);
            }
            b"event" => self.event.event = value.into_owned(),
            b"id" if !value.contains('\0') => {
                self.has_id = true;
                self.event.id = Some(value.into_owned());
            }
            b"retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.event.retry = value.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let next = SseEvent {
            id: self.event.id.clone(),
            ..SseEvent::default()
        };
        let event = std::mem::replace(&mut self.event, next);
        let says_something = self.has_data || self.has_id || event.retry.is_some();
        (self.has_data, self.has_id) = (false, false);
        if says_something {
            self.ready.push_back(event);
        }
    }
}
