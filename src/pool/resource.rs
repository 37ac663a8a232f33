//! What a pooled value knows of itself.
//!
//! Promise: a resource that says it is unhealthy is never handed to a caller.
//! Cost: one call of `is_healthy` at acquire and one at release, none if `HAS_HEALTH_TEST` is false.

use std::error::Error;
use std::future::Future;
use std::ops::{Deref, DerefMut};

/// An error of user code: a factory, a check or a hook.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// A value that can be pooled and knows its own health.
///
/// Every method has a default, so that `impl PoolableResource for Session {}` is a start.
/// [`Plain`] wraps a foreign type that has no health to ask for.
pub trait PoolableResource: Send + Sized + 'static {
    /// Whether [`is_healthy`](Self::is_healthy) says anything. `false` spares its call on every hit.
    const HAS_HEALTH_TEST: bool = true;

    /// Whether [`close`](Self::close) has something to wait for. `false` drops the value in place.
    const HAS_ASYNC_CLOSE: bool = true;

    /// Tells whether the resource may be handed out, from what is already known.
    ///
    /// Called at acquire and at release, so it must be a load or two: no lock, no system call.
    fn is_healthy(&self) -> bool {
        true
    }

    /// Tests the resource with a round trip, after it was idle for `check_after_idle`.
    ///
    /// # Errors
    ///
    /// An error retires the resource; the caller gets another one.
    ///
    /// # Cancel safety
    ///
    /// A check that is dropped before its end retires the resource.
    fn check(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Ends the resource in an orderly way. Dropped at a deadline.
    fn close(self) -> impl Future<Output = ()> + Send {
        async { drop(self) }
    }
}

/// A foreign type in a pool: always healthy, closed by its drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plain<T>(pub T);

impl<T: Send + 'static> PoolableResource for Plain<T> {
    const HAS_HEALTH_TEST: bool = false;
    const HAS_ASYNC_CLOSE: bool = false;
}

impl<T> Deref for Plain<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Plain<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
