//! What is counted of the requests of one upstream.
//!
//! Cost: six adds a request, to words that the workers share.

use std::time::Duration;

use super::Histogram;
use crate::sync::{AtomicU64, Ordering};

/// Counts by class of status, with the name of each.
pub type Classes = [(&'static str, u64); 5];

/// Of counts by the first digit of a status, those from `1xx` to `5xx`.
pub fn classes(by_digit: &[u64; 6]) -> Classes {
    let names = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    std::array::from_fn(|at| (names[at], by_digit[at + 1]))
}

/// Counts and times.
#[derive(Debug, Default)]
pub struct Meters {
    /// Replies by the first digit of their status.
    by_class: [AtomicU64; 6],
    in_flight: AtomicU64,
    sent_bytes: AtomicU64,
    /// Times from the head of a request to the head of its reply.
    pub times: Histogram,
}

impl Meters {
    /// Notes a request.
    pub fn begin(&self) {
        // Relaxed: who drains looks again until it reads zero, and no request comes then.
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the head of its reply.
    pub fn reply(&self, status: u16, time: Duration) {
        let class = usize::from(status / 100).min(5);
        // Relaxed: a count for a page.
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
        self.times.record(time);
    }

    /// Notes its end, after so many bytes.
    pub fn end(&self, bytes: u64) {
        // Relaxed: see `begin` and `reply`.
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests whose reply is not over.
    pub fn in_flight(&self) -> u64 {
        // Relaxed: see `begin`.
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Bytes of bodies.
    pub fn sent_bytes(&self) -> u64 {
        // Relaxed: a count for a page.
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Replies by class, from `1xx` to `5xx`.
    pub fn by_class(&self) -> Classes {
        // Relaxed: a count for a page.
        let load = |at: usize| self.by_class[at].load(Ordering::Relaxed);
        classes(&std::array::from_fn(load))
    }
}
