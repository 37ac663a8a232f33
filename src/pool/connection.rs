//! A connection on loan. Its drop returns it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::care::{self, Grave};
use super::metadata::ResourceMetadata;
use super::retire;
use super::shared::Lease;
use crate::engine::Caller;
use crate::sync::Arc;

/// A connection that a caller holds; dropped, it goes back to its pool.
///
/// One pointer in size; it may be dropped on any thread, inside a runtime or not. Dropped while its
/// thread unwinds, it is retired, for nobody knows in what state it is.
pub struct PoolConnection<T: Send + 'static> {
    lease: Lease<T>,
}

impl<T: Send + 'static> PoolConnection<T> {
    #[inline(always)]
    pub(crate) fn new(lease: Lease<T>) -> Self {
        Self { lease }
    }

    /// Takes down who acquired it, where the pool was asked to. For slow paths.
    pub(crate) fn entered(self, caller: Caller) -> Self {
        let shared = self.lease.body().host();
        if shared.enters() {
            shared.ledger.enter(&self.lease, caller);
        }
        self
    }

    /// Lets the connection be retired, not returned, when it is dropped.
    pub fn mark_broken(&mut self) {
        self.lease.doom();
    }

    /// Takes the connection out of the pool, for good. Its place is free at once.
    ///
    /// In a forked child it still is the parent's, too: what is said on it, and for many types its
    /// drop, breaks it there.
    pub fn detach(self) -> T {
        let body = Arc::clone(self.lease.body());
        match retire::take_out(self.lease) {
            Ok((value, permit)) => {
                drop(permit);
                body.host().place_freed();
                value
            }
            Err(parents) => parents.desert(),
        }
    }

    /// Closes the connection and waits until it is closed, `close_timeout` at most. Its place is
    /// free then. In a forked child the parent's connection stays as it is.
    ///
    /// # Cancel safety
    ///
    /// Dropped half way, the connection is dropped and its place is free.
    pub async fn close(self) {
        let body = Arc::clone(self.lease.body());
        match retire::take_out(self.lease) {
            Ok((value, permit)) => care::close(Grave::new(body, permit), value).await,
            Err(parents) => std::mem::forget(parents),
        }
    }

    /// What the pool knows of this connection. Reads the clock.
    pub fn metadata(&self) -> ResourceMetadata {
        let shared = self.lease.body().host();
        let now = shared.clock.now();
        shared.metadata_of_held(&self.lease, now)
    }
}

impl<T: Send + 'static> Deref for PoolConnection<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.lease.value()
    }
}

impl<T: Send + 'static> DerefMut for PoolConnection<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        self.lease.value_mut()
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for PoolConnection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PoolConnection").field(&**self).finish()
    }
}
