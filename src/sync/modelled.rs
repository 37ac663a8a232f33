//! The same names for the model checker.
//!
//! Its queue is a stand-in: a mutexed ring, which gives the order of a linearizable queue.

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// What a model is told with.
pub(crate) mod story {
    pub(crate) use loom::future::block_on;
    pub(crate) use loom::model::Builder;
    pub(crate) use loom::thread;
}

use std::collections::VecDeque;
use std::ops::Deref;

pub(crate) const MAX_THREADS: usize = 4;

macro_rules! thread_table {
    ($name:ident) => {
        loom::lazy_static! {
            static ref $name: [CachePadded<AtomicPtr<()>>; MAX_THREADS] =
                std::array::from_fn(|_| CachePadded::new(AtomicPtr::new(std::ptr::null_mut())));
        }
    };
}
pub(crate) use thread_table;

pub(crate) fn relax(_round: u32) {
    loom::thread::yield_now();
}

/// A fence in every model: the checker does not know that SeqCst operations have one order.
pub(crate) fn fence_after_rmw() {
    // SeqCst: as the real one.
    fence(Ordering::SeqCst);
}

loom::lazy_static! {
    static ref NEXT_INDEX: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
}

loom::thread_local! {
    static INDEX: usize = NEXT_INDEX.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// The order in which the threads of one execution asked.
pub(crate) fn thread_index() -> Option<usize> {
    INDEX.try_with(|index| *index).ok()
}

/// The same: an index is given by asking for it.
pub(crate) fn known_thread_index() -> Option<usize> {
    thread_index()
}

#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    ring: Mutex<VecDeque<T>>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            ring: Mutex::new(VecDeque::new()),
            capacity,
        }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let mut ring = self.ring.lock();
        if ring.len() == self.capacity {
            return Err(value);
        }
        ring.push_back(value);
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.ring.lock().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.lock().len()
    }
}

/// No padding: a model has no cache lines.
#[derive(Debug)]
pub(crate) struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Reports a use of a value that runs while, or after, the value is dropped.
#[derive(Debug)]
pub(crate) struct Canary(UnsafeCell<()>);

impl Canary {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    pub(crate) fn used(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn dropped(&self) {
        self.0.with_mut(|_| ());
    }
}
