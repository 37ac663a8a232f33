//! Hooks: user code at three points in a connection's life.
//!
//! Promise: never called under a lock; a hook that panics, fails or does not end loses its
//! connection and nothing else. Cost: none where no hook is set; the sync forms allocate nothing.

use std::fmt;

use super::ledger::{Holder, LeakHook};
use super::manager::BoxFuture;
use super::metadata::ResourceMetadata;
use super::resource::BoxError;

/// What a hook decides about the connection it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with it.
    Keep,
    /// Retire it; an acquire takes another one.
    Discard,
}

type SyncHook<T> = Box<dyn Fn(&mut T, &ResourceMetadata) -> Verdict + Send + Sync>;
type AsyncHook<T> = Box<
    dyn for<'c> Fn(&'c mut T, &'c ResourceMetadata) -> BoxFuture<'c, Result<Verdict, BoxError>>
        + Send
        + Sync,
>;

pub(crate) enum Hook<T> {
    Sync(SyncHook<T>),
    Async(AsyncHook<T>),
}

/// The hooks of a pool; each is called with the connection and what the pool knows of it.
///
/// ```
/// use plunge::{Plain, PoolHooks, Verdict};
/// let hooks = PoolHooks::<Plain<u64>>::new()
///     .after_create(|connection, _| Box::pin(async move {
///         connection.0 += 1;
///         Ok(Verdict::Keep)
///     }))
///     .before_acquire_sync(|_, metadata| match metadata.uses {
///         0..1000 => Verdict::Keep,
///         _ => Verdict::Discard,
///     });
/// # drop(hooks);
/// ```
pub struct PoolHooks<T> {
    pub(crate) after_create: Option<Hook<T>>,
    pub(crate) before_acquire: Option<Hook<T>>,
    pub(crate) after_release: Option<Hook<T>>,
    pub(crate) on_leak: Option<LeakHook>,
}

macro_rules! setters {
    ($field:ident, $sync:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// An error, [`Verdict::Discard`], a panic or a time-out retires the connection.
        #[must_use]
        pub fn $field<F>(mut self, hook: F) -> Self
        where
            F: for<'c> Fn(&'c mut T, &'c ResourceMetadata) -> BoxFuture<'c, Result<Verdict, BoxError>>
                + Send
                + Sync
                + 'static,
        {
            self.$field = Some(Hook::Async(Box::new(hook)));
            self
        }

        #[doc = concat!("The form of [`", stringify!($field), "`](Self::", stringify!($field), ") that has nothing to wait for.")]
        #[must_use]
        pub fn $sync<F>(mut self, hook: F) -> Self
        where
            F: Fn(&mut T, &ResourceMetadata) -> Verdict + Send + Sync + 'static,
        {
            self.$field = Some(Hook::Sync(Box::new(hook)));
            self
        }
    };
}

impl<T> PoolHooks<T> {
    /// No hooks.
    pub fn new() -> Self {
        Self {
            after_create: None,
            before_acquire: None,
            after_release: None,
            on_leak: None,
        }
    }

    setters!(
        after_create,
        after_create_sync,
        "Called once, in the task that opened the connection, within `connect_timeout`."
    );
    setters!(
        before_acquire,
        before_acquire_sync,
        "Called by the acquirer for each connection it is about to get, within its `acquire_timeout`."
    );
    setters!(
        after_release,
        after_release_sync,
        "Called when a connection comes back: the sync form in the drop, the async one in a task, within `hook_timeout`; without a runtime the connection is retired instead."
    );
}

impl<T> PoolHooks<T> {
    /// Called by maintenance, once for each lease that is held for longer than
    /// [`leak_after`](super::PoolOptions::leak_after). It delays maintenance, so it should be short.
    #[must_use]
    pub fn on_leak(mut self, hook: impl Fn(&Holder) + Send + Sync + 'static) -> Self {
        self.on_leak = Some(Box::new(hook));
        self
    }
}

impl<T> Default for PoolHooks<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PoolHooks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHooks")
            .field("after_create", &self.after_create.is_some())
            .field("before_acquire", &self.before_acquire.is_some())
            .field("after_release", &self.after_release.is_some())
            .field("on_leak", &self.on_leak.is_some())
            .finish()
    }
}
