//! A forked child that says yes or no.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(status: c_int) -> !;
    fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: u32) -> u32;
}

/// Runs a closure in a forked child; tells whether it said yes, and ended within ten seconds.
pub(crate) fn in_child(claim: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child takes no lock of this crate's that another thread may hold, which is what is
    // tested; the allocator is prepared for a fork.
    let child = unsafe { fork() };
    assert!(child >= 0, "no child could be made");
    if child == 0 {
        // SAFETY: ends a child that hangs.
        unsafe { alarm(10) };
        let said = catch_unwind(AssertUnwindSafe(claim)).unwrap_or(false);
        // SAFETY: the child ends here, without the destructors of the parent's statics.
        unsafe { _exit(c_int::from(!said)) };
    }
    let mut status: c_int = -1;
    // SAFETY: `status` lives across the call.
    let ended = unsafe { waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    status == 0
}
