//! The stock: what is idle, as its owner sorts it: brings one in, picks one out, throws some out.
//!
//! Promise: connections are looked at one at a time, so that an acquire misses one at most; nobody in
//! line is passed over; what cannot come in is given back. Cost: a look at every idle connection.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

use super::close::why_closed;
use super::connection::PoolConnection;
use super::error::TryAcquireError;
use super::handle::Pool;
use super::hooks::Hook;
use super::maintenance;
use super::metadata::ResourceMetadata;
use super::retire;
use super::shared::{Body, Lease};

/// Why a connection could not be brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddErrorKind {
    /// The pool is closed.
    Closed,
    /// As many are open as may be.
    Full,
    /// Its health test says that it is of no use.
    Unhealthy,
}

/// A connection that could not be brought in, and why.
pub struct AddError<T> {
    kind: AddErrorKind,
    value: T,
}

impl<T> AddError<T> {
    /// What was in the way.
    pub fn kind(&self) -> AddErrorKind {
        self.kind
    }

    /// The connection.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            AddErrorKind::Closed => "the pool is closed",
            AddErrorKind::Full => "as many connections are open as `max_connections` allows",
            AddErrorKind::Unhealthy => "the connection is not healthy",
        })
    }
}

impl<T> Error for AddError<T> {}

impl<T: Send + 'static> Pool<T> {
    /// Brings a connection in that was opened elsewhere: for the first in line, else to lie idle. It
    /// counts as opened; no hook is called.
    ///
    /// # Errors
    ///
    /// Closed, full, or it is not healthy; the error gives it back.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use plunge::{Plain, PoolOptions};
    ///
    /// # fn main() -> Result<(), plunge::OptionsError> {
    /// let pool = PoolOptions::new()
    ///     .max_connections(1)
    ///     .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })?;
    /// assert!(pool.add(Plain(7)).is_ok());
    /// assert_eq!(pool.add(Plain(8)).unwrap_err().into_inner(), Plain(8));
    /// # Ok(())
    /// # }
    /// ```
    pub fn add(&self, value: T) -> Result<(), AddError<T>> {
        let body = self.body();
        let shared = body.host();
        let refuse = |kind, value| Err(AddError { kind, value });
        if body.is_forked() {
            return refuse(AddErrorKind::Closed, value);
        }
        if !shared.is_healthy(&value) {
            return refuse(AddErrorKind::Unhealthy, value);
        }
        let Some(permit) = Body::claim_permit(body) else {
            return refuse(
                match body.is_closed() {
                    true => AddErrorKind::Closed,
                    false => AddErrorKind::Full,
                },
                value,
            );
        };
        let now = shared.clock.now();
        // For the clock and the closing; without a runtime the next miss sees to it.
        let _ = maintenance::ensure(body, now);
        shared.counters.opened.add(1);
        Body::install(permit, value, body.generation(), now).put();
        // As after a dial: it is to be watched, to age, to be told of, and may be what was waited for.
        shared.dialled.notify_waiters();
        shared.maintenance.wake();
        Ok(())
    }

    /// Takes the first idle connection that `wanted` says yes to, if there is one. Never waits, never opens; the async
    /// `check` is left out, as by [`try_acquire`](Self::try_acquire). One that somebody else has, or is just looking
    /// at, is not found.
    ///
    /// # Errors
    ///
    /// Closed, none is idle that is wanted and of use, or an async `before_acquire` is set.
    ///
    /// # Panics
    ///
    /// Where `wanted` does. The connection that it was shown is retired, the others are kept.
    ///
    /// # Cost
    ///
    /// A look at each idle connection, on this thread, as of [`retain`](Self::retain).
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use plunge::{Plain, PoolOptions};
    ///
    /// # fn main() -> Result<(), plunge::OptionsError> {
    /// let pool = PoolOptions::new().connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })?;
    /// assert!(pool.add(Plain(7)).is_ok() && pool.add(Plain(8)).is_ok());
    /// let eight = pool.try_acquire_where(|connection| connection.0 == 8);
    /// assert_eq!(**eight.unwrap(), 8);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn try_acquire_where(
        &self,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<PoolConnection<T>, TryAcquireError> {
        let body = self.body();
        if let Some(Hook::Async(_)) = body.host().tuning().hooks.before_acquire
            && !body.is_closed()
        {
            return Err(TryAcquireError::NeedsAwait);
        }
        while let Some(lease) = self.pick_out(&mut wanted) {
            if let Some(connection) = self.admit_now(lease, Location::caller()) {
                return Ok(connection);
            }
        }
        Err(match body.is_closed() {
            true => why_closed(body),
            false => TryAcquireError::Empty,
        })
    }

    /// Takes the first idle connection that is wanted, unless somebody is in line for it.
    fn pick_out(&self, wanted: &mut impl FnMut(&T) -> bool) -> Option<Lease<T>> {
        let body = self.body();
        if !body.may_take() {
            return None;
        }
        let (mut found, mut panic) = (None, None);
        body.sweep_all(|lease: Lease<T>| {
            if found.is_some() || panic.is_some() {
                return Some(lease);
            }
            match catch_unwind(AssertUnwindSafe(|| wanted(lease.value()))) {
                Ok(false) => return Some(lease),
                Ok(true) => found = Some(lease),
                Err(payload) => {
                    panic = Some(payload);
                    retire::bury(lease);
                }
            }
            None
        });
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        found
    }

    /// Retires the idle connections for which `keep` says no; tells how many that were. Those that
    /// come back meanwhile may be missed. In a forked child it is shown none.
    ///
    /// # Panics
    ///
    /// Where `keep` does. The connection that it was shown is retired, the others are kept.
    ///
    /// # Cost
    ///
    /// One call for each idle connection, on this thread. Nobody waits for it to end: a connection
    /// that was looked at is free again before the next is taken.
    pub fn retain(&self, mut keep: impl FnMut(&T, &ResourceMetadata) -> bool) -> u32 {
        let body = self.body();
        if body.is_forked() {
            return 0;
        }
        let shared = body.host();
        let now = shared.clock.now();
        let (mut retired, mut panic) = (0, None);
        body.sweep_all(|lease: Lease<T>| {
            let metadata = shared.metadata(&lease, now);
            // After a panic the pass goes on to its end without more questions.
            let kept = panic.is_some()
                || catch_unwind(AssertUnwindSafe(|| keep(lease.value(), &metadata)))
                    .unwrap_or_else(|payload| {
                        panic = Some(payload);
                        false
                    });
            if kept {
                return Some(lease);
            }
            retired += 1;
            retire::bury(lease);
            None
        });
        if retired > 0 {
            // What is missing of `min_idle` is opened again.
            let _ = maintenance::ensure(body, now);
            shared.maintenance.wake();
        }
        panic.map_or(retired, |payload| resume_unwind(payload))
    }
}
