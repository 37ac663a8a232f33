//! A user's handle on a pool. The last one to go closes it.
//!
//! Promise: handles are counted apart from references, so that connections, dials and tasks keep
//! the body but not the pool open.

use crate::sync::{Arc, Ordering};

#[cfg(not(plunge_loom))]
use crate::sync::Weak;

use super::body::Body;
use super::host::Host;

pub(crate) struct Handle<T, H: Host<T>> {
    body: Arc<Body<T, H>>,
}

impl<T, H: Host<T>> Handle<T, H> {
    /// The first handle of a new body.
    pub(crate) fn first(body: Arc<Body<T, H>>) -> Self {
        // One pool of many is in the list while it has something.
        if body.commons.is_none() {
            body.refuse_in_children(false);
        }
        Self { body }
    }

    /// Has the pool refuse in forked children, whatever it has: a user got this handle.
    #[cfg(feature = "keyed")]
    pub(crate) fn refuse_in_children(&self) {
        self.body.refuse_in_children(true);
    }

    #[inline(always)]
    pub(crate) fn body(&self) -> &Arc<Body<T, H>> {
        &self.body
    }

    /// Whether there is no other handle. Who clones this one meanwhile finds the pool closed.
    #[cfg(feature = "keyed")]
    pub(crate) fn is_only(&self) -> bool {
        // Relaxed: a hint; the capacity word decides whether the pool can be closed.
        self.body.handles.load(Ordering::Relaxed) == 1
    }

    #[cfg(not(plunge_loom))]
    pub(crate) fn downgrade(&self) -> WeakHandle<T, H> {
        WeakHandle {
            body: Arc::downgrade(&self.body),
        }
    }
}

impl<T, H: Host<T>> Clone for Handle<T, H> {
    fn clone(&self) -> Self {
        // Relaxed: made from a live handle, like a clone of an `Arc`.
        self.body.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            body: Arc::clone(&self.body),
        }
    }
}

impl<T, H: Host<T>> Drop for Handle<T, H> {
    fn drop(&mut self) {
        // AcqRel: pairs with the other drops; the last one sees all that was done by them.
        if self.body.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            H::abandoned(&self.body);
        }
    }
}

/// A handle that keeps nothing open.
#[cfg(not(plunge_loom))]
pub(crate) struct WeakHandle<T, H: Host<T>> {
    body: Weak<Body<T, H>>,
}

#[cfg(not(plunge_loom))]
impl<T, H: Host<T>> WeakHandle<T, H> {
    /// A handle, unless the last one is gone.
    pub(crate) fn upgrade(&self) -> Option<Handle<T, H>> {
        let body = self.body.upgrade()?;
        // Relaxed to read; AcqRel to count: as in `Handle::clone`, but never up from zero.
        body.handles
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |handles| {
                (handles > 0).then_some(handles + 1)
            })
            .ok()?;
        Some(Handle { body })
    }
}

#[cfg(not(plunge_loom))]
impl<T, H: Host<T>> Clone for WeakHandle<T, H> {
    fn clone(&self) -> Self {
        Self {
            body: Weak::clone(&self.body),
        }
    }
}
