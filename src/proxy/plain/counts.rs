//! What a gateway counted.
//!
//! Cost: a worker has its own counters on lines of their own; reading sums them.

use crate::sync::{AtomicU64, Ordering};

use super::lanes::AddressStats;
use super::meter::AnswerStats;
use crate::proxy::watching::add_alone;

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections taken from clients.
    pub accepted: AtomicU64,
    /// Of these, open.
    pub clients: AtomicU64,
    /// Those that had to wait for another one to leave.
    pub waited: AtomicU64,
    /// Requests passed on or refused.
    pub requests: AtomicU64,
    /// Answers by the first digit of their status, refusals too.
    pub answers: [AtomicU64; 6],
    /// Requests that the proxy answered itself.
    pub refused: AtomicU64,
    /// Exchanges that were cut off in the middle.
    pub broken: AtomicU64,
    /// Connections that went over to another protocol.
    pub switched: AtomicU64,
}

impl Counts {
    /// Counts one, on the worker's own thread: nobody else writes it.
    pub fn count(counter: &AtomicU64) {
        add_alone(counter, 1);
    }

    /// Counts a client, whose worker may be another.
    pub fn add(counter: &AtomicU64) {
        // Relaxed: a count for a page.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less of them.
    pub fn remove(counter: &AtomicU64) {
        // Relaxed: as above.
        counter.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an answer.
    pub fn answer(&self, status: u16) {
        if let Some(class) = self.answers.get(usize::from(status / 100)) {
            Self::count(class);
        }
    }

    /// Adds itself to a sum.
    pub fn add_to(&self, sum: &mut GatewayStats) {
        // Relaxed: as above.
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sum.accepted += get(&self.accepted);
        sum.clients += get(&self.clients);
        sum.waited += get(&self.waited);
        sum.requests += get(&self.requests);
        for (all, own) in sum.answers.iter_mut().zip(&self.answers) {
            *all += get(own);
        }
        sum.refused += get(&self.refused);
        sum.broken += get(&self.broken);
        sum.switched += get(&self.switched);
    }
}

/// A gateway at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayStats {
    /// Connections taken from clients so far.
    pub accepted: u64,
    /// Connections of clients that are open.
    pub clients: u64,
    /// The most at a time.
    pub max_clients: u64,
    /// Those so far that had to wait for another one to leave.
    pub waited: u64,
    /// Requests so far.
    pub requests: u64,
    /// Answers so far by the first digit of their status; the place 0 stays empty.
    pub answers: [u64; 6],
    /// Requests that the proxy answered itself.
    pub refused: u64,
    /// Exchanges that were cut off in the middle.
    pub broken: u64,
    /// Connections that went over to another protocol.
    pub switched: u64,
    /// The upstreams.
    pub upstreams: Vec<UpstreamStats>,
}

/// An upstream at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamStats {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<AddressStats>,
    /// What its clients were answered.
    pub answers: AnswerStats,
}
