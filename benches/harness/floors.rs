//! Floors: what no pool can be faster than, and the shapes that pools are made of.
//!
//! Promise: each does its minimum and nothing a pool needs beside it: no waiters, no capacity, no
//! close, unless its name says so.
//! Cost: what is measured.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering::AcqRel};
use std::sync::{Arc, Mutex};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Build, Subject};

/// Two locked instructions on one cache line: an acquire and a release that do nothing else.
#[derive(Clone)]
pub struct LockedPair(Arc<CachePadded<AtomicU64>>);

impl Subject for LockedPair {
    const NAME: &'static str = "two locked instructions";
    type Guard<'a> = ();

    async fn acquire(&self) {
        black_box(self.0.swap(0, AcqRel));
    }

    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let taken = black_box(self.0.swap(0, AcqRel));
            black_box(self.0.swap(taken, AcqRel));
        }
    }

    fn opened(&self) -> usize {
        1
    }
}

impl Build for LockedPair {
    fn build(_size: usize) -> Self {
        Self(Arc::new(CachePadded::new(AtomicU64::new(1))))
    }
}

/// The bare queue: a pop and a push.
#[derive(Clone)]
pub struct QueuePair(Arc<ArrayQueue<u32>>);

/// An id out of the bare queue.
pub struct QueueGuard<'a>(&'a ArrayQueue<u32>, u32);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let _ = self.0.push(self.1);
    }
}

impl Subject for QueuePair {
    const NAME: &'static str = "ArrayQueue pop + push";
    type Guard<'a> = QueueGuard<'a>;

    async fn acquire(&self) -> QueueGuard<'_> {
        QueueGuard(&self.0, pop(&self.0))
    }

    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let id = black_box(pop(&self.0));
            let _ = black_box(self.0.push(id));
        }
    }

    fn opened(&self) -> usize {
        self.0.len()
    }
}

impl Build for QueuePair {
    fn build(size: usize) -> Self {
        Self(Arc::new(queue(size)))
    }
}

fn queue(size: usize) -> ArrayQueue<u32> {
    let queue = ArrayQueue::new(size);
    for id in 0..size as u32 {
        let _ = queue.push(id);
    }
    queue
}

/// Spins where a pool would wait; the cases that play a floor have an object for every caller.
fn pop(queue: &ArrayQueue<u32>) -> u32 {
    loop {
        if let Some(id) = queue.pop() {
            return id;
        }
        spin_loop();
    }
}

/// A semaphore for capacity and waiters before a queue of idle objects: a common shape.
#[derive(Clone)]
pub struct SemaphoreQueue(Arc<(Semaphore, ArrayQueue<u32>)>);

/// A permit and an id. The id goes back first: fields drop after `drop`.
pub struct SemaphoreGuard<'a> {
    id: u32,
    queue: &'a ArrayQueue<u32>,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Drop for SemaphoreGuard<'_> {
    fn drop(&mut self) {
        let _ = self.queue.push(self.id);
    }
}

impl Subject for SemaphoreQueue {
    const NAME: &'static str = "Semaphore + ArrayQueue";
    type Guard<'a> = SemaphoreGuard<'a>;

    async fn acquire(&self) -> SemaphoreGuard<'_> {
        let _permit = self.0.0.acquire().await.ok();
        let queue = &self.0.1;
        SemaphoreGuard {
            id: pop(queue),
            queue,
            _permit,
        }
    }

    fn opened(&self) -> usize {
        self.0.1.len()
    }
}

impl Build for SemaphoreQueue {
    fn build(size: usize) -> Self {
        Self(Arc::new((Semaphore::new(size), queue(size))))
    }
}

/// A mutex around a stack, without waiters.
#[derive(Clone)]
pub struct MutexVec(Arc<CachePadded<Mutex<Vec<u32>>>>);

/// An id out of the stack.
pub struct MutexGuard<'a>(&'a Mutex<Vec<u32>>, u32);

impl Drop for MutexGuard<'_> {
    fn drop(&mut self) {
        if let Ok(mut ids) = self.0.lock() {
            ids.push(self.1);
        }
    }
}

impl Subject for MutexVec {
    const NAME: &'static str = "Mutex<Vec>";
    type Guard<'a> = MutexGuard<'a>;

    async fn acquire(&self) -> MutexGuard<'_> {
        loop {
            let popped = self.0.lock().ok().and_then(|mut ids| ids.pop());
            if let Some(id) = popped {
                return MutexGuard(&self.0, id);
            }
            spin_loop();
        }
    }

    fn opened(&self) -> usize {
        self.0.lock().map_or(0, |ids| ids.len())
    }
}

impl Build for MutexVec {
    fn build(size: usize) -> Self {
        Self(Arc::new(CachePadded::new(Mutex::new(
            (0..size as u32).collect(),
        ))))
    }
}
