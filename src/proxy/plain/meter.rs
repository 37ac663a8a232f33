//! What one worker counted of the requests of one upstream.
//!
//! Cost: three loads and stores a request: nobody else writes these words.

use std::time::Duration;

use crate::proxy::watching::{Histogram, add_alone};
use crate::sync::{AtomicU64, Ordering};

/// The counts; only their worker's thread notes anything.
#[derive(Debug, Default)]
pub struct Meter {
    /// Answers by the first digit of their status, those of the proxy itself too.
    answers: [AtomicU64; 6],
    /// From the head of a request to the head of its answer.
    times: Histogram,
    sent_bytes: AtomicU64,
}

/// The answers to the requests of one upstream, all workers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerStats {
    /// By the first digit of their status, those of the proxy itself too; the place 0 stays empty.
    pub answers: [u64; 6],
    /// Times from the head of a request to the head of its answer: the end of each bucket in µs, and how many
    /// fell into it.
    pub times: Vec<(u64, u64)>,
    /// All of these together, in µs.
    pub sum_us: u64,
    /// Bytes of bodies that went to clients.
    pub sent_bytes: u64,
}

impl Meter {
    /// Notes the head of an answer.
    pub fn answered(&self, status: u16, time: Duration) {
        if let Some(class) = self.answers.get(usize::from(status / 100)) {
            add_alone(class, 1);
        }
        self.times.record_alone(time);
    }

    /// Notes bytes of a body.
    pub fn sent(&self, bytes: u64) {
        add_alone(&self.sent_bytes, bytes);
    }

    /// Adds itself to a sum.
    pub fn add_to(&self, sum: &mut AnswerStats) {
        // Relaxed: counts for a page.
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (all, own) in sum.answers.iter_mut().zip(&self.answers) {
            *all += get(own);
        }
        sum.sent_bytes += get(&self.sent_bytes);
        sum.sum_us += self.times.sum_us();
        for (end, count) in self.times.counts() {
            match sum.times.binary_search_by_key(&end, |known| known.0) {
                Ok(at) => sum.times[at].1 += count,
                Err(at) => sum.times.insert(at, (end, count)),
            }
        }
    }
}
