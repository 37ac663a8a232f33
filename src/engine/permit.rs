//! A permit: the right to have one connection open, and the debt to give it back.
//!
//! Promise: its drop frees the capacity and tells a waiter so; the body's reference goes last.

use super::body::Body;
use super::host::Host;
use super::wakes::Wakes;
use crate::sync::{Arc, fence_after_rmw};

pub(crate) struct Permit<T, H: Host<T>>(Option<Arc<Body<T, H>>>);

impl<T, H: Host<T>> Permit<T, H> {
    /// Wraps a permit that was taken from the body's capacity.
    pub(super) fn adopt(body: Arc<Body<T, H>>) -> Self {
        Self(Some(body))
    }

    /// Passes the debt on: from now on the slot that gets the reference owes it.
    pub(super) fn transfer(mut self) -> Option<Arc<Body<T, H>>> {
        self.0.take()
    }

    pub(crate) fn body(&self) -> Option<&Arc<Body<T, H>>> {
        self.0.as_ref()
    }
}

impl<T, H: Host<T>> Drop for Permit<T, H> {
    fn drop(&mut self) {
        // A local, dropped last: it may be what keeps the body in memory.
        let Some(body) = self.0.take() else { return };
        // That of the commons first: a waiter of this pool that found its own free and none there
        // would evict another pool's connection for nothing.
        if let Some(commons) = &body.commons {
            commons.give_back();
        }
        let after = body.capacity.give_back();
        // SeqCst: between the freed permit and the look at the line; pairs with the fence in
        // `Wait::enlist`, after which a waiter reads the capacity.
        fence_after_rmw();
        // Others first: who waits there for longer than anybody here is to have it.
        let mut wakes = Wakes::default();
        body.tend(&mut wakes);
        body.grant(&mut wakes);
        if after.is_closed() && after.open() == 0 {
            body.host().drained();
        }
        // Last: wakers are code of others, and may panic.
        drop(wakes);
    }
}
