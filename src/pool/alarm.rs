//! The alarm of one idle connection: how a watcher tells the pool that it died.
//!
//! Promise: it concerns the connection that it was made for, whoever lives in its slot by now; it
//! keeps neither the pool nor the connection. Cost: 32 bytes; two reference counts to raise.

use std::fmt;

use super::shared::Body;
use crate::engine::Stay;
use crate::sync::{Arc, Weak};

/// Raised by an [`IdleWatcher`](super::IdleWatcher) when an idle connection dies.
///
/// A raised alarm has the connection retired before anybody gets it, the other idle ones looked at,
/// and `min_idle` refilled. It may run the drop of a pool that nobody else keeps, so raise it
/// without a lock.
#[derive(Clone)]
pub struct IdleAlarm {
    pool: Weak<dyn Bell>,
    stay: Stay,
}

impl IdleAlarm {
    pub(crate) fn new<T: Send + 'static>(body: &Arc<Body<T>>, stay: Stay) -> Self {
        let pool: Weak<dyn Bell> = Arc::<Body<T>>::downgrade(body);
        Self { pool, stay }
    }

    /// Whether the connection was taken since, or is gone: then what happens to it is its holder's
    /// doing.
    pub fn is_off(&self) -> bool {
        self.pool
            .upgrade()
            .is_none_or(|pool| !pool.is_undisturbed(self.stay))
    }

    /// The peer has closed or reset the connection. Whoever holds it by now may finish; it does not
    /// come back. `false`: it is gone already, or known to be dead.
    pub fn peer_left(&self) -> bool {
        self.pool.upgrade().is_some_and(|pool| pool.doom(self.stay))
    }

    /// Bytes came that nobody asked for. `false`: the connection was taken since, so somebody may
    /// have; or it is gone.
    pub fn peer_spoke(&self) -> bool {
        // Taken between the two, it is doomed in use, and rightly: the bytes came before that.
        self.pool
            .upgrade()
            .is_some_and(|pool| pool.is_undisturbed(self.stay) && pool.doom(self.stay))
    }
}

impl fmt::Debug for IdleAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdleAlarm").field(&self.stay).finish()
    }
}

/// A pool whose connections are forgotten, so that an alarm has no type.
trait Bell: Send + Sync {
    fn is_undisturbed(&self, stay: Stay) -> bool;
    fn doom(&self, stay: Stay) -> bool;
}

impl<T: Send + 'static> Bell for Body<T> {
    fn is_undisturbed(&self, stay: Stay) -> bool {
        self.is_undisturbed(stay)
    }

    fn doom(&self, stay: Stay) -> bool {
        // In a forked child it is the parent's, which hears for itself.
        let doomed = !self.is_forked() && self.doom(stay);
        if doomed {
            self.host().counters.seen_dying.add(1);
            self.host().maintenance.suspect(self.host().clock.now());
        }
        doomed
    }
}
