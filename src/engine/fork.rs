//! What a fork leaves behind: the child has the memory of every pool, and none of the threads.
//!
//! A connection that parent and child both use is broken for both, so the pools of the parent are
//! closed in the child, in the fork itself, before anything of the child's can run: their gates are
//! set, and hits look at those anyway. Nothing of such a pool is closed or dropped in the child; its
//! locks may be held by threads that are not there, so nothing takes them either.
//!
//! A pool of many keys is in the list only while it has a connection, and for good once a user got
//! its handle: of what has nothing to hand out, whoever opens connections asks whether the process is
//! another.
//!
//! Promise: after `fork` no pool that was built before it hands anything out in the child; the
//! parent notices nothing, and a pool built in the child is an ordinary one, but for this: mutexes
//! that are contended share a table of their waiters, which is one for parent and child, so that a
//! thread which the child does not have may have left a part of it locked. Children made without
//! the C library's `fork` (`vfork`, `posix_spawn`, a bare `clone`) are not seen, and are to call
//! `exec`. Cost: nothing on a hit; a fork pays for each pool in the list, in the child, a page that is
//! copied, about 10 µs; a build and a drop of a pool take a short lock, and so do the first and the
//! last connection of a key.

use std::{process, ptr};

use super::gate::{Gate, GateWord};
use super::hazard;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, begin_child, relax};

/// A pool's place in the list of all pools. Its fields are touched under the lock.
pub(super) struct Mark {
    gate: AtomicPtr<Gate>,
    prev: AtomicPtr<Mark>,
    next: AtomicPtr<Mark>,
    /// In the list until it is dropped.
    kept: AtomicBool,
}

/// A lock that may be released in the child of whoever took it: one word, and nobody sleeps on it.
/// Taken for some instructions, and for the time of a fork.
static LOCKED: AtomicBool = AtomicBool::new(false);
static FIRST: AtomicPtr<Mark> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> std::ffi::c_int;
}

impl Mark {
    pub(super) const fn new() -> Self {
        Self {
            gate: AtomicPtr::new(ptr::null_mut()),
            prev: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            kept: AtomicBool::new(false),
        }
    }

    /// Has the gate closed in every child from now on; with `kept`, whatever
    /// [`unlist_unless_kept`](Self::unlist_unless_kept) says.
    ///
    /// # Safety
    ///
    /// Both stay where they are until [`unlist`](Self::unlist).
    pub(super) unsafe fn enlist(&self, gate: &Gate, kept: bool) {
        ask();
        lock();
        // Relaxed, here and below: under the lock.
        self.kept.fetch_or(kept, Relaxed);
        if self.gate.load(Relaxed).is_null() {
            self.link(gate);
        }
        unlock();
    }

    fn link(&self, gate: &Gate) {
        // Relaxed, all of them: under the lock.
        let first = FIRST.load(Relaxed);
        self.gate.store(ptr::from_ref(gate).cast_mut(), Relaxed);
        self.prev.store(ptr::null_mut(), Relaxed);
        self.next.store(first, Relaxed);
        // SAFETY: in the list, so it stays where it is while the lock is held.
        if let Some(first) = unsafe { first.as_ref() } {
            first.prev.store(ptr::from_ref(self).cast_mut(), Relaxed);
        }
        FIRST.store(ptr::from_ref(self).cast_mut(), Relaxed);
    }

    /// Takes the mark off the list, if it is on it.
    pub(super) fn unlist(&self) {
        lock();
        self.unlink();
        unlock();
    }

    /// The same, unless it was asked to be kept.
    pub(super) fn unlist_unless_kept(&self) {
        lock();
        // Relaxed: under the lock.
        if !self.kept.load(Relaxed) {
            self.unlink();
        }
        unlock();
    }

    fn unlink(&self) {
        // Relaxed, all of them: under the lock.
        if self.gate.swap(ptr::null_mut(), Relaxed).is_null() {
            return;
        }
        let (prev, next) = (self.prev.load(Relaxed), self.next.load(Relaxed));
        // SAFETY: in the list, so it stays where it is while the lock is held.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.store(next, Relaxed),
            None => FIRST.store(next, Relaxed),
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.prev.store(prev, Relaxed);
        }
    }
}

/// Who asks the C library to call at forks: nobody so far, the process of this number, or [`ASKED`].
static ASKING: AtomicU32 = AtomicU32::new(0);
const ASKED: u32 = u32::MAX;

/// Sees to it that the C library calls at forks, from before this returns on.
pub(super) fn ask() {
    let mut round = 0;
    loop {
        // Acquire: pairs with the Release below: it calls by now.
        let asking = ASKING.load(Acquire);
        if asking == ASKED {
            return;
        }
        let this_process = process::id();
        // Relaxed: one caller wins. Who asked in another process is not in this one.
        let free = asking != this_process
            && (ASKING.compare_exchange(asking, this_process, Relaxed, Relaxed)).is_ok();
        if free {
            // SAFETY: three functions that live as long as the program. Where there is no memory
            // for them, children go unseen.
            let _ = unsafe { pthread_atfork(Some(lock), Some(unlock), Some(begin)) };
            // Release: pairs with the Acquire above.
            return ASKING.store(ASKED, Release);
        }
        relax(round);
        round = round.saturating_add(1);
    }
}

extern "C" fn lock() {
    let mut round = 0;
    // Acquire: pairs with the Release in `unlock`; the list is seen as it was left.
    while LOCKED.swap(true, Acquire) {
        relax(round);
        round = round.saturating_add(1);
    }
}

extern "C" fn unlock() {
    // Release: pairs with the Acquire in `lock`.
    LOCKED.store(false, Release);
}

/// Runs in the child, on its only thread, before `fork` returns there: stores to atomics only.
extern "C" fn begin() {
    begin_child();
    // What the threads that are not here announced is used by nobody.
    hazard::forget_all();
    // Relaxed: called, so it was asked, though maybe by a thread that is not here and had not said so.
    ASKING.store(ASKED, Relaxed);
    close_all();
    unlock();
}

fn close_all() {
    // Relaxed, all three: the thread that forked took the lock, so it saw the list as it was left.
    let mut at = FIRST.load(Relaxed);
    // SAFETY: the list is the parent's, as it was while the parent held the lock.
    while let Some(mark) = unsafe { at.as_ref() } {
        // SAFETY: listed, so its gate is where it was.
        if let Some(gate) = unsafe { mark.gate.load(Relaxed).as_ref() } {
            gate.set(GateWord::CLOSED);
            gate.set(GateWord::FORKED);
        }
        at = mark.next.load(Relaxed);
    }
}
