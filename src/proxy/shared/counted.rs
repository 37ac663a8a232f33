//! What is under way about resources, counted until it ends or is aborted.
//!
//! Promise: the drop takes back what its beginning added. Cost: two additions.

use super::group::Group;
use crate::proxy::session::Subscribers;
use crate::sync::{Arc, AtomicUsize, Ordering};

/// A task or a request that is counted until its drop.
pub struct Counted {
    /// Whose it is.
    pub group: Arc<Group>,
    counter: fn(&Subscribers) -> &AtomicUsize,
}

impl Counted {
    /// Counts one.
    pub fn begin(group: &Arc<Group>, counter: fn(&Subscribers) -> &AtomicUsize) -> Self {
        // Relaxed: see where the bounds are.
        counter(group.subscribers()).fetch_add(1, Ordering::Relaxed);
        Self {
            group: group.clone(),
            counter,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Relaxed: see where the bounds are.
        (self.counter)(self.group.subscribers()).fetch_sub(1, Ordering::Relaxed);
    }
}
