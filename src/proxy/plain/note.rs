//! What is noted of one request: in the counts of its worker, in those of its upstream, and in the access log.
//!
//! Promise: an answer is counted when its head is there and its bytes as they go, so that one which lasts for hours,
//! or is cut off, is in every count.
//! Cost: some stores to words that nobody else writes.

use tokio::time::Instant;

use super::access::Entry;
use super::counts::Counts;
use super::meter::Meter;
use super::refusal::Refusal;

/// The request's notes; its line in the log is written when they are dropped.
pub struct Note<'a> {
    counts: &'a Counts,
    /// That of its upstream, if it has one.
    meter: Option<&'a Meter>,
    entry: Option<Entry>,
    begun: Instant,
}

impl<'a> Note<'a> {
    /// Notes a request whose head came at `begun`.
    pub fn new(
        counts: &'a Counts,
        meter: Option<&'a Meter>,
        entry: Option<Entry>,
        begun: Instant,
    ) -> Self {
        Counts::count(&counts.requests);
        Self {
            counts,
            meter,
            entry,
            begun,
        }
    }

    /// The head of its answer came then.
    pub fn answered(&mut self, status: u16, at: Instant) {
        let time = at.saturating_duration_since(self.begun);
        self.counts.answer(status);
        if let Some(meter) = self.meter {
            meter.answered(status, time);
        }
        if let Some(entry) = &mut self.entry {
            entry.answered(status, Some(time));
        }
    }

    /// So many bytes of it went to the client.
    pub fn sent(&mut self, bytes: u64) {
        if let Some(meter) = self.meter {
            meter.sent(bytes);
        }
        if let Some(entry) = &mut self.entry {
            entry.sent(bytes);
        }
    }

    /// The proxy answered it itself.
    pub fn refused(&mut self, refusal: Refusal, is_head: bool) {
        Counts::count(&self.counts.refused);
        self.answered(refusal.status, Instant::now());
        if let Some(entry) = &mut self.entry {
            entry.sent(if is_head { 0 } else { refusal.body_bytes() });
        }
    }

    /// It was cut off.
    pub fn broken(&self) {
        Counts::count(&self.counts.broken);
    }

    /// Its connection went over to another protocol.
    pub fn switched(&self) {
        Counts::count(&self.counts.switched);
    }
}
