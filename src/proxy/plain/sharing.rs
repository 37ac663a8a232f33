//! The connections in h2 of one lane, which its requests share.
//!
//! Promise: a request goes over one that has a stream for it; another is opened only where none has. Where no more may
//! be opened, it waits for a stream. Who waits here for what others do is told that the upstream is busy, and blames
//! nobody.
//! Cost: two small locks of one thread, and one of h2.

use tokio::time::timeout;

use super::bridge::Channel;
use super::connection::Site;
use super::leasing::acquire;
use super::refusal::{self, Refusal};
use crate::sync::{Arc, Mutex, Weak};
use crate::{KeyHandle, PoolConnection, PoolableResource};

/// One of them, held by each of its requests; it goes back to the pool with the last.
pub type Share = Arc<PoolConnection<Channel>>;

/// The connections.
#[derive(Debug, Default)]
pub struct Sharing {
    /// The first is filled first, so that those behind it come to rest.
    known: Mutex<Vec<Weak<PoolConnection<Channel>>>>,
    opening: tokio::sync::Mutex<()>,
}

impl Sharing {
    /// A share of one, out of this pool if none is known with a stream for it.
    ///
    /// # Errors
    ///
    /// What the client is told; [`blames`](super::leasing::blames) says whether the upstream is at fault.
    pub async fn share(&self, channels: &KeyHandle<Site, Channel>) -> Result<Share, Refusal> {
        if let Some(share) = self.with_room() {
            return Ok(share);
        }
        // Whoever waits for another's dial waits no longer than for one of its own: else each that fails in time
        // would be paid for by all behind it.
        let patience = channels.key().times.patience();
        let Ok(_one) = timeout(patience, self.opening.lock()).await else {
            return self.least_used().ok_or(refusal::BUSY);
        };
        if let Some(share) = self.with_room() {
            return Ok(share);
        }
        // A stream of those that are there ends sooner than one of them.
        if !may_open(channels)
            && let Some(share) = self.least_used()
        {
            return Ok(share);
        }
        match acquire(channels).await {
            Ok(opened) => {
                let share = Arc::new(opened);
                let mut known = self.known.lock();
                known.retain(|one| one.strong_count() > 0);
                known.push(Arc::downgrade(&share));
                Ok(share)
            }
            Err(refusal) => self.least_used().ok_or(refusal),
        }
    }

    fn with_room(&self) -> Option<Share> {
        let known = self.known.lock();
        live(&known).find(has_stream)
    }

    fn least_used(&self) -> Option<Share> {
        let known = self.known.lock();
        live(&known).min_by_key(Arc::strong_count)
    }
}

/// Those that take requests.
fn live(known: &[Weak<PoolConnection<Channel>>]) -> impl Iterator<Item = Share> {
    let shares = known.iter().filter_map(Weak::upgrade);
    shares.filter(|share| share.is_healthy())
}

/// Whether its requests, the one that asks among them, have a stream each.
pub fn has_stream(share: &Share) -> bool {
    Arc::strong_count(share) <= share.most_streams()
}

fn may_open(channels: &KeyHandle<Site, Channel>) -> bool {
    let stats = channels.pool().map(|pool| pool.stats());
    stats.is_ok_and(|stats| stats.idle > 0 || stats.open < stats.max_connections)
}
