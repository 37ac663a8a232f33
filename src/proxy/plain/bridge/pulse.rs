//! What moves on a client's connection that hyper reads, for its clock.
//!
//! Promise: a connection without a request ends when its time is over, and so does one whose client does not take
//! an answer: hyper does not ask a body for more until there is room, so a timer of the body's own would never ring.
//! Cost: a lock of one thread for each answer with a body, and a timer for each connection.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::{Arc, AtomicU32, AtomicU64, Mutex, Ordering, Weak};

/// The connection.
pub struct Pulse {
    began: Instant,
    active: AtomicU32,
    /// When the last request ended, in ms.
    rests_since: AtomicU64,
    answers: Mutex<Vec<Weak<Standing>>>,
}

/// A request under way, with its answer.
pub struct Busy(Arc<Pulse>);

/// An answer on its way to the client.
pub struct Standing {
    pulse: Arc<Pulse>,
    /// When it was last asked for more, in ms.
    asked: AtomicU64,
    /// How long it may not be.
    patience: Duration,
}

impl Pulse {
    /// That of a connection which begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            active: AtomicU32::new(0),
            rests_since: AtomicU64::new(0),
            answers: Mutex::default(),
        })
    }

    /// Begins a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        // Relaxed: written and read by tasks of one thread, as all words here.
        self.active.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        // Relaxed: as in `begin`.
        self.active.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing was asked for so long.
    pub fn rests_for(&self, idle: Duration) -> bool {
        // Relaxed: as in `begin`.
        let since = Duration::from_millis(self.rests_since.load(Ordering::Relaxed));
        self.is_idle() && self.began.elapsed() >= since + idle
    }

    /// Whether the client left an answer standing for too long.
    pub fn is_stuck(&self) -> bool {
        let now = self.began.elapsed();
        // Dropped after the lock: the last of an answer takes it, too.
        let answers: Vec<_> = {
            let answers = self.answers.lock();
            answers.iter().filter_map(Weak::upgrade).collect()
        };
        answers.iter().any(|answer| {
            // Relaxed: as in `begin`.
            let asked = Duration::from_millis(answer.asked.load(Ordering::Relaxed));
            now > asked.saturating_add(answer.patience)
        })
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Busy {
    /// Its answer, which the client has to take in time.
    pub fn answer(&self, patience: Duration) -> Arc<Standing> {
        let pulse = self.0.clone();
        let standing = Arc::new(Standing {
            asked: AtomicU64::new(pulse.millis()),
            pulse,
            patience,
        });
        self.0.answers.lock().push(Arc::downgrade(&standing));
        standing
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Relaxed, both: as in `begin`.
        self.0.rests_since.store(self.0.millis(), Ordering::Relaxed);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Standing {
    /// Notes that there is room for more of it.
    pub fn asked(&self) {
        // Relaxed: as in `begin`.
        self.asked.store(self.pulse.millis(), Ordering::Relaxed);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut answers = self.pulse.answers.lock();
        answers.retain(|answer| answer.strong_count() > 0);
    }
}
