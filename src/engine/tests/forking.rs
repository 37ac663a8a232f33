//! A forked child that says yes or no.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::{Body, Host};

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(status: c_int) -> !;
    fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: u32) -> u32;
}

/// A forked child that runs a closure.
#[must_use = "not waited for, it is left behind"]
pub(crate) struct Child(c_int);

impl Child {
    /// Runs a closure in a forked child, for two minutes at most.
    pub(crate) fn begin(claim: impl FnOnce() -> bool) -> Self {
        // SAFETY: the child takes no lock of this crate's that another thread may hold, which is what
        // is tested; the allocator is prepared for a fork.
        let child = unsafe { fork() };
        assert!(child >= 0, "no child could be made");
        if child == 0 {
            // SAFETY: ends a child that hangs.
            unsafe { alarm(120) };
            let said = catch_unwind(AssertUnwindSafe(claim)).unwrap_or(false);
            // SAFETY: the child ends here, without the destructors of the parent's statics.
            unsafe { _exit(c_int::from(!said)) };
        }
        Self(child)
    }

    /// Whether it said yes, and ended in time.
    pub(crate) fn said_yes(self) -> bool {
        let mut status: c_int = -1;
        // SAFETY: `status` lives across the call.
        let ended = unsafe { waitpid(self.0, &raw mut status, 0) };
        assert_eq!(ended, self.0);
        status == 0
    }
}

/// Runs a closure in a forked child to its end; tells whether it said yes.
pub(crate) fn in_child(claim: impl FnOnce() -> bool) -> bool {
    Child::begin(claim).said_yes()
}

/// Like [`in_child`], while the lines of some pools and the commons of the first are locked, as if by
/// threads that the child does not have.
pub(crate) fn in_child_without_locks<T, H: Host<T>>(
    pools: &[&Body<T, H>],
    claim: impl FnOnce() -> bool,
) -> bool {
    let _lines: Vec<_> = pools.iter().map(|pool| pool.waiters.lock()).collect();
    match pools.first().and_then(|pool| pool.commons.as_ref()) {
        Some(commons) => commons.locked(|| in_child(claim)),
        None => in_child(claim),
    }
}
