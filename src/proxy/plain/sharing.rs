//! The connections in h2 of one lane, which its requests share.
//!
//! Promise: a request goes over one that has a stream for it; another is opened only where none has. Who waits takes
//! whichever is there first, one that is opened or a stream that comes free, in the order of coming. Who waits here for
//! what others do is told that the upstream is busy, and blames nobody; a dial that fails has failed for all who waited
//! for it.
//! Cost: two small locks of one thread, and one of h2.

use std::ops::Deref;
use std::pin::pin;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::bridge::Channel;
use super::connection::Site;
use super::leasing::acquire;
use super::refusal::{self, Refusal};
use crate::sync::{Arc, AtomicU32, Mutex, Ordering, Weak};
use crate::{KeyHandle, PoolConnection, PoolableResource};

type Lease = PoolConnection<Channel>;

/// One of them, held by each of its requests; it goes back to the pool with the last.
pub struct Share {
    lease: Arc<Lease>,
    // Dropped after that.
    _freed: Freed,
}

/// Tells the next in line that there may be a stream.
struct Freed(Arc<Notify>);

/// The connections.
#[derive(Debug, Default)]
pub struct Sharing {
    /// The first is filled first, so that those behind it come to rest.
    known: Mutex<Vec<Weak<Lease>>>,
    opening: tokio::sync::Mutex<()>,
    /// How many wait.
    line: AtomicU32,
    /// Wakes the first of them.
    freed: Arc<Notify>,
    /// Wakes all of them: no connection could be opened, for the last reason.
    failed: Notify,
    reason: Mutex<Option<Refusal>>,
}

/// A place in line.
struct Place<'a>(&'a AtomicU32);

impl Sharing {
    /// A share of one, out of this pool if none is known with a stream for it.
    ///
    /// # Errors
    ///
    /// What the client is told; nobody is to blame for [`refusal::BUSY`], which comes at `until` where all there are
    /// are full.
    pub async fn share(
        &self,
        channels: &KeyHandle<Site, Channel>,
        until: Instant,
    ) -> Result<Share, Refusal> {
        // Relaxed: written and read by tasks of one thread.
        let mut is_first = self.line.load(Ordering::Relaxed) == 0;
        if is_first && let Some(lease) = self.with_room() {
            return Ok(self.taken(lease));
        }
        let _place = Place::in_line(&self.line);
        let (mut opening, mut late) = (pin!(self.open(channels)), pin!(sleep_until(until)));
        let mut is_opening = true;
        loop {
            let (freed, failed) = (self.freed.notified(), self.failed.notified());
            match self.with_room() {
                Some(lease) if is_first => return Ok(self.taken(lease)),
                Some(_) => self.freed.notify_one(),
                None => {}
            }
            tokio::select! {
                biased;
                () = failed => if !self.is_live() {
                    return Err(self.reason.lock().unwrap_or(refusal::BUSY));
                },
                opened = &mut opening, if is_opening => match opened {
                    Ok(lease) => return Ok(self.taken(lease)),
                    Err(refusal) if !self.is_live() => return Err(refusal),
                    // A stream of those that are there is waited for.
                    Err(_) => is_opening = false,
                },
                () = freed => {
                    is_first = true;
                    if !is_opening && self.with_room().is_none() {
                        opening.set(self.open(channels));
                        is_opening = true;
                    }
                }
                () = &mut late => return Err(refusal::BUSY),
            }
        }
    }

    /// Opens one, in line with others that do, unless one of them brings a stream for this one, too.
    async fn open(&self, channels: &KeyHandle<Site, Channel>) -> Result<Arc<Lease>, Refusal> {
        // No longer than for one of its own: each opens one only as far as those before it left it no stream.
        let patience = channels.key().times.patience();
        let Ok(_one) = timeout(patience, self.opening.lock()).await else {
            return Err(refusal::BUSY);
        };
        if let Some(lease) = self.with_room() {
            return Ok(lease);
        }
        match acquire(channels).await {
            Ok(opened) => {
                let lease = Arc::new(opened);
                let mut known = self.known.lock();
                known.retain(|one| one.strong_count() > 0);
                known.push(Arc::downgrade(&lease));
                Ok(lease)
            }
            Err(refusal) => {
                if refusal != refusal::BUSY {
                    *self.reason.lock() = Some(refusal);
                    self.failed.notify_waiters();
                }
                Err(refusal)
            }
        }
    }

    /// One with a stream for whoever asks.
    fn with_room(&self) -> Option<Arc<Lease>> {
        let known = self.known.lock();
        live(&known).find(has_stream)
    }

    /// A share of this one; who is next in line looks whether there is more.
    fn taken(&self, lease: Arc<Lease>) -> Share {
        // Relaxed: as above.
        if self.line.load(Ordering::Relaxed) > 0 && self.with_room().is_some() {
            self.freed.notify_one();
        }
        Share {
            lease,
            _freed: Freed(self.freed.clone()),
        }
    }

    /// Whether a stream may come free.
    fn is_live(&self) -> bool {
        let known = self.known.lock();
        live(&known).next().is_some()
    }
}

/// Those that take requests.
fn live(known: &[Weak<Lease>]) -> impl Iterator<Item = Arc<Lease>> {
    let leases = known.iter().filter_map(Weak::upgrade);
    leases.filter(|lease| lease.is_healthy())
}

/// Whether its requests, the one that asks among them, have a stream each.
fn has_stream(lease: &Arc<Lease>) -> bool {
    Arc::strong_count(lease) <= lease.most_streams()
}

impl Deref for Share {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl<'a> Place<'a> {
    fn in_line(line: &'a AtomicU32) -> Self {
        // Relaxed: as above.
        line.fetch_add(1, Ordering::Relaxed);
        Self(line)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Relaxed: as above.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
