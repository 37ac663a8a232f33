//! Room for clients: how many may be connected at a time.
//!
//! Promise: there are never more than `max_clients`, but for those that come at the very end; that somebody waits is
//! told once each time, and then whoever is idle between two requests for a second makes room, one for one.
//! Cost: a permit each; one load, by an idle connection that looks anyway, of a word that nobody writes meanwhile.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::sync::{Arc, AtomicBool, AtomicU32, Mutex, Ordering};

/// How long a client is idle at least that makes room: the next request of a busier one is on its way.
pub const IDLE: Duration = Duration::from_secs(1);

/// One of `max_clients`.
pub type Seat = OwnedSemaphorePermit;

/// Who has a seat and who waits for one.
pub struct Seats {
    free: Arc<Semaphore>,
    count: Mutex<usize>,
    /// Those that wait, but for those for whom somebody leaves already. An estimate: one too many is one idle
    /// connection more that ends.
    wanted: AtomicU32,
    /// Whether it was told that they are all taken.
    is_told: AtomicBool,
}

/// A share of those that wait; ends with the wait.
struct Wanted<'a>(&'a Seats);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.take_one();
    }
}

impl Seats {
    /// So many.
    pub fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(count)),
            count: Mutex::new(count),
            wanted: AtomicU32::new(0),
            is_told: AtomicBool::new(false),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        *self.count.lock()
    }

    /// One that is free now.
    pub fn now(&self) -> Option<Seat> {
        match self.free.clone().try_acquire_owned() {
            Ok(seat) => {
                self.is_free_again();
                Some(seat)
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// One, when it is free; `None` never comes.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it loses its place in the line and nothing else.
    pub async fn soon(&self) -> Option<Seat> {
        // Relaxed, all of these: estimates, and a word to an operator.
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let _wanted = Wanted(self);
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} clients are connected, as many as `http.max_clients` allows: more wait until one leaves; raise it, or lower `http.client_idle`",
                self.count()
            );
        }
        // The semaphore is never closed.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Whether somebody waits. For who is idle, to look at the clock only then.
    pub fn are_wanted(&self) -> bool {
        // Relaxed: see `wanted`.
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Whether who has one should leave it to somebody who waits: said once for each of them.
    pub fn take_one(&self) -> bool {
        let less = |wanted: u32| wanted.checked_sub(1);
        // Relaxed, both: see `wanted`.
        self.wanted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// That they are all taken is told again only after a sixteenth was free: not with each client that comes and goes.
    fn is_free_again(&self) {
        // Relaxed, both: as above.
        if self.is_told.load(Ordering::Relaxed) && self.free.available_permits() > self.count() / 16
        {
            self.is_told.store(false, Ordering::Relaxed);
        }
    }

    /// Takes so many clients at a time from now on; those that are there stay. Ends when as many as are too many have
    /// left.
    pub fn limit(&self, count: usize) -> impl Future<Output = ()> + Send + use<> {
        let count = count.min(Semaphore::MAX_PERMITS);
        let before = std::mem::replace(&mut *self.count.lock(), count);
        let owed = match count.checked_sub(before) {
            Some(more) => {
                self.free.add_permits(more);
                0
            }
            None => before - count - self.free.forget_permits(before - count),
        };
        let (free, owed) = (self.free.clone(), u32::try_from(owed).unwrap_or(u32::MAX));
        async move {
            // The semaphore is never closed.
            if let Ok(seats) = free.acquire_many_owned(owed).await {
                seats.forget();
            }
        }
    }
}
