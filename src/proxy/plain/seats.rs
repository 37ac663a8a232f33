//! Room for clients: how many may be connected at a time.
//!
//! Promise: there are never more than `max_clients`, but for those that come at the very end and those that were there
//! when a reload lowered it; that somebody waits is told once each time, and then whoever is idle between two requests
//! for a second makes room, one for one.
//! Cost: a permit each; one load, by an idle connection that looks anyway, of a word that nobody writes meanwhile.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};

/// How long a client is idle at least that makes room: the next request of a busier one is on its way.
pub const IDLE: Duration = Duration::from_secs(1);

/// One of `max_clients`.
pub type Seat = OwnedSemaphorePermit;

/// Who has a seat and who waits for one.
pub struct Seats {
    free: Arc<Semaphore>,
    count: Mutex<usize>,
    line: Arc<Line>,
    /// Whether it was told that they are all taken.
    is_told: AtomicBool,
}

/// Who waits, and for how many of them somebody leaves already.
///
/// | half  | counts                             | up            | down, not below 0 |
/// |-------|------------------------------------|---------------|-------------------|
/// | low   | seats that are waited for          | a wait begins | it ends           |
/// | high  | of these, those that are left soon | who is idle leaves | a wait ends  |
///
/// Where somebody leaves of himself meanwhile, an idle connection more ends than would have to; never one too few.
#[derive(Default)]
struct Line(AtomicU64);

/// A wait for so many seats; ends with it.
struct Wait {
    line: Arc<Line>,
    count: u32,
}

impl Line {
    fn change(&self, to: impl Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
        let changed = |word: u64| {
            let (waiting, promised) = to(word as u32, (word >> 32) as u32)?;
            Some(u64::from(waiting) | u64::from(promised) << 32)
        };
        // Relaxed, both: an estimate, and the seats themselves are handed over by the semaphore.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed)
            .is_ok()
    }

    fn is_wanting(&self) -> bool {
        // Relaxed: see `change`.
        let word = self.0.load(Ordering::Relaxed);
        word as u32 > (word >> 32) as u32
    }
}

impl Wait {
    fn new(line: &Arc<Line>, count: u32) -> Self {
        line.change(|waiting, promised| Some((waiting.saturating_add(count), promised)));
        let line = line.clone();
        Self { line, count }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let less = |from: u32| from.saturating_sub(self.count);
        self.line
            .change(|waiting, promised| Some((less(waiting), less(promised))));
    }
}

impl Seats {
    /// So many.
    pub fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(count)),
            count: Mutex::new(count),
            line: Arc::default(),
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
        let _wait = Wait::new(&self.line, 1);
        // Relaxed: a word to an operator.
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} clients are connected, as many as `http.max_clients` allows: more wait until one leaves; raise it, or lower `http.client_idle`",
                self.count()
            );
        }
        // The semaphore is never closed.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Whether somebody waits for whom nobody leaves yet. For who is idle, to look at the clock only then.
    pub fn are_wanted(&self) -> bool {
        self.line.is_wanting()
    }

    /// Whether who has one should leave it to somebody who waits: said once for each of them.
    pub fn take_one(&self) -> bool {
        let one_more = |waiting, promised| (promised < waiting).then(|| (waiting, promised + 1));
        self.line.change(one_more)
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
        let owed = u32::try_from(owed).unwrap_or(u32::MAX);
        // Who is idle makes room for these, too: they stand in line before all who come.
        let (free, wait) = (self.free.clone(), Wait::new(&self.line, owed));
        async move {
            let _wait = wait;
            // The semaphore is never closed.
            if let Ok(seats) = free.acquire_many_owned(owed).await {
                seats.forget();
            }
        }
    }
}

#[cfg(test)]
#[path = "seats_tests.rs"]
mod tests;
