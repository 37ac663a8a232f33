//! A line of the access log for each request of plain HTTP.
//!
//! Cost: nothing where there is no log; else the head is read once more.

use std::time::Duration;

use tokio::time::Instant;

use super::head::Request;
use crate::proxy::watching::{AccessWriter, Asked, Context, Line};
use crate::sync::Arc;

/// A line that is written when it is dropped, whatever became of its request.
pub struct Entry {
    line: Option<Box<Line>>,
    begun: Instant,
    bytes: u64,
}

impl Entry {
    /// Begins the line of a request in HTTP/1, which begins these bytes; without `request`, it was refused.
    pub fn of_head(
        log: Option<&Arc<AccessWriter>>,
        bytes: &[u8],
        request: Option<&Request<'_>>,
    ) -> Option<Self> {
        log.map(|log| Self::new_slow(log, bytes, request))
    }

    #[cold]
    fn new_slow(log: &Arc<AccessWriter>, bytes: &[u8], request: Option<&Request<'_>>) -> Self {
        let mut fields = [httparse::EMPTY_HEADER; super::head::MOST_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        // Of what is no head, as much is written as was one.
        let _ = head.parse(bytes);
        let host = head
            .headers
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("host"));
        let target = head.path.unwrap_or_default();
        Self::new(
            log,
            &Asked {
                method: head.method.unwrap_or_default(),
                host: host.map(|host| host.value),
                path: target.split('?').next().unwrap_or_default(),
                upstream: request.map(|request| &*request.route.upstream.options.name),
                trace: request.map_or_else(Context::begun, |request| request.trace),
            },
        )
    }

    /// Begins a line.
    pub fn new(log: &Arc<AccessWriter>, asked: &Asked<'_>) -> Self {
        Self {
            line: Some(Line::new(log, asked)),
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// Notes the head of the answer; by default, it was sent just now.
    pub fn answered(&mut self, status: u16, time: Option<Duration>) {
        if let Some(line) = &mut self.line {
            let now = Instant::now();
            // It may be counted from before the line was begun, and then all of it is.
            let begun = time.and_then(|time| now.checked_sub(time));
            self.begun = begun.map_or(self.begun, |begun| begun.min(self.begun));
            line.reply(status, time.unwrap_or(now - self.begun));
        }
    }

    /// Notes bytes of its body.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(self.bytes, self.begun.elapsed());
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
