//! The real primitives.

pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
pub(crate) use crossbeam_queue::ArrayQueue;
pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

/// How many threads own a record in a static table; the others take the slower way.
pub(crate) const MAX_THREADS: usize = 256;

/// Builds an atomic in a `static`.
macro_rules! thread_table {
    ($name:ident) => {
        static $name: [CachePadded<AtomicPtr<()>>; MAX_THREADS] =
            [const { CachePadded::new(AtomicPtr::new(std::ptr::null_mut())) }; MAX_THREADS];
    };
}
pub(crate) use thread_table;

/// Waits a moment for another thread that is between two instructions.
pub(crate) fn relax(round: u32) {
    if round < 32 {
        std::hint::spin_loop()
    } else {
        std::thread::yield_now()
    }
}

/// Orders a SeqCst read-modify-write that was just made before the SeqCst load that follows.
///
/// On x86-64 a locked instruction already is a full fence, and the compiler keeps the order of two
/// SeqCst operations, so nothing is emitted there. Elsewhere it is a fence.
#[inline(always)]
pub(crate) fn fence_after_rmw() {
    if !cfg!(target_arch = "x86_64") {
        // SeqCst: each caller names the two variables.
        fence(Ordering::SeqCst);
    }
}

/// `std`'s cell with the closure interface of the model checker's.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Notices, in models only, that a value is used while it is dropped.
#[derive(Debug)]
pub(crate) struct Canary;

impl Canary {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn used(&self) {}

    #[inline(always)]
    pub(crate) fn dropped(&self) {}
}
