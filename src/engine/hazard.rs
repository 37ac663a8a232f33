//! Keeps a pool's body in memory while a release that gave up its connection still looks at it.
//!
//! A release publishes its connection and then loads the gate. Between the two it owns nothing:
//! another thread may take the connection, retire it and drop the last reference to the body. A
//! strong reference per release would cost two contended locked instructions; instead each thread
//! announces the body in a record of its own, by plain stores, and the drop of a body waits until
//! no record names it.
//!
//! Promise: from `protect` to the drop of its [`Hazard`] the body's memory stays. No user code
//! runs in between, so the wait is short and cannot be for oneself.
//! Cost: two stores to a line that no other thread writes.
//! Algorithm: M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004.

use crate::sync::{AtomicPtr, CachePadded, MAX_THREADS, Ordering, relax, thread_table};

thread_table!(RECORDS);

/// The record of one thread.
#[derive(Clone, Copy)]
pub(super) struct Record(&'static CachePadded<AtomicPtr<()>>);

impl Record {
    /// The record of the thread with this index, if it has one.
    #[inline(always)]
    pub(super) fn of(index: usize) -> Option<Self> {
        RECORDS.get(index).map(Record)
    }

    /// Announces `body`, which the caller keeps alive until it publishes what it owns.
    #[inline(always)]
    pub(super) fn protect(self, body: *const ()) -> Hazard {
        // Release: pairs with the Acquire in `wait_until_unused`, through whatever hands the
        // published connection on: who can drop the body has seen this store.
        self.0.store(body.cast_mut(), Ordering::Release);
        Hazard(self)
    }
}

/// The body is announced; the drop takes that back.
pub(super) struct Hazard(Record);

impl Drop for Hazard {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: all uses of the body come before; pairs with `wait_until_unused`.
        self.0.0.store(std::ptr::null_mut(), Ordering::Release);
    }
}

/// Returns when no other thread announces `body`. Called from its drop.
pub(super) fn wait_until_unused(body: *const ()) {
    for record in RECORDS.iter() {
        let mut round = 0;
        // Acquire: pairs with both stores above.
        while std::ptr::eq(record.load(Ordering::Acquire), body) {
            relax(round);
            round = round.saturating_add(1);
        }
    }
}

/// Clears all records, in a process of one thread that announces nothing.
#[cfg(all(unix, not(plunge_loom)))]
pub(super) fn forget_all() {
    for record in RECORDS.iter() {
        // Relaxed, both: no other thread is there yet. Most are clear, and a write copies a page.
        if !record.load(Ordering::Relaxed).is_null() {
            record.store(std::ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

const _: () = assert!(MAX_THREADS > 0);
