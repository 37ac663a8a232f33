//! The old design: a mutexed deque of idle objects, a semaphore for capacity, and a channel on which
//! guards send their object back to a maintenance task that owns the receiver.
//!
//! Promise: at most `size` objects are open. The permit stays with the object on its way back and is
//! released after the object is in the deque, so that whoever gets a permit finds an object or may
//! open one; the channel holds `size` objects, so that a return never finds it full. Tuned where the
//! design allows it: one reference count a lease, returns taken in batches under one lock, no
//! metrics, no time-out, no health test, no log line.
//! Cost: an async lock to acquire, a channel send to release, a task switch before the object is idle
//! again. An object returned after the runtime is gone is lost with its permit: part of the design.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Mutex, Semaphore, mpsc};

/// A clonable handle to a pool of the old design.
pub struct LegacyPool<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    idle: Arc<Idle<T>>,
    returns: mpsc::Sender<T>,
    opened: AtomicUsize,
    connect: fn() -> T,
}

/// What maintenance may hold: not the sender, or the channel would never close.
struct Idle<T> {
    objects: Mutex<VecDeque<T>>,
    permits: Semaphore,
}

impl<T: Send + 'static> LegacyPool<T> {
    /// Builds a pool of at most `size` objects and starts its maintenance task.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and if `size` is zero.
    pub fn new(size: usize, connect: fn() -> T) -> Self {
        let (returns, receiver) = mpsc::channel(size);
        let idle = Arc::new(Idle {
            objects: Mutex::new(VecDeque::with_capacity(size)),
            permits: Semaphore::new(size),
        });
        tokio::spawn(maintain(Arc::clone(&idle), receiver, size));
        let opened = AtomicUsize::new(0);
        Self {
            shared: Arc::new(Shared {
                idle,
                returns,
                opened,
                connect,
            }),
        }
    }

    /// Waits for a permit, then takes an idle object or opens one.
    pub async fn acquire(&self) -> LegacyGuard<T> {
        let shared = Arc::clone(&self.shared);
        // The semaphore is never closed; without a permit there is nothing to forget.
        if let Ok(permit) = shared.idle.permits.acquire().await {
            permit.forget();
        }
        let idle = shared.idle.objects.lock().await.pop_front();
        let object = idle.unwrap_or_else(|| {
            // Relaxed: a count to check the bench with, read after every task has ended.
            shared.opened.fetch_add(1, Relaxed);
            (shared.connect)()
        });
        LegacyGuard {
            object: Some(object),
            shared,
        }
    }

    /// How many objects were ever opened.
    pub fn opened(&self) -> usize {
        // Relaxed: see `acquire`.
        self.shared.opened.load(Relaxed)
    }
}

impl<T> Clone for LegacyPool<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Owns the receiver: puts returned objects back and only then releases their permits.
async fn maintain<T>(idle: Arc<Idle<T>>, mut receiver: mpsc::Receiver<T>, size: usize) {
    let mut batch = Vec::with_capacity(size);
    loop {
        let count = receiver.recv_many(&mut batch, size).await;
        if count == 0 {
            return;
        }
        idle.objects.lock().await.extend(batch.drain(..));
        idle.permits.add_permits(count);
    }
}

/// A leased object; its drop sends it back on the channel.
pub struct LegacyGuard<T> {
    object: Option<T>,
    shared: Arc<Shared<T>>,
}

impl<T> Deref for LegacyGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().expect("present until dropped")
    }
}

impl<T> DerefMut for LegacyGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().expect("present until dropped")
    }
}

impl<T> Drop for LegacyGuard<T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // Never full: it holds `size`. Closed means that the runtime is gone, and so is the object.
            let _ = self.shared.returns.try_send(object);
        }
    }
}
