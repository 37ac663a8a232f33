//! What moves on a client's connection that hyper reads, for its clock.
//!
//! Promise: a connection without a request ends when its time is over, and what its client does not take ends, too:
//! hyper asks a body for one frame beyond the room there is, and then no more until that went, so a timer of the body's
//! own would never ring. One answer that stands still in h2 ends alone.
//! Cost: a lock of one thread for each answer with a body, a look at the clock for each write, and a timer for each
//! connection.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::streams;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Mutex, OnceLock, Ordering, Weak};

/// The connection.
pub struct Pulse {
    began: Instant,
    active: AtomicU32,
    /// When the last request ended, in ms.
    rests_since: AtomicU64,
    /// When bytes last went to the client, or were heard of one that was told of the end, in ms.
    moved: AtomicU64,
    is_shut: AtomicBool,
    /// Whether the system did not take what was last written.
    is_unsent: AtomicBool,
    /// Whether it ends for want of requests.
    is_spare: AtomicBool,
    /// Requests that were answered, and those that were taken back at once.
    served: AtomicU32,
    taken_back: AtomicU32,
    answers: Mutex<Vec<Weak<Standing>>>,
}

/// A request under way, with its answer; or the part of one's head that came.
pub struct Busy {
    pulse: Arc<Pulse>,
    begun: Duration,
    is_answered: bool,
}

/// An answer on its way to the client.
pub struct Standing {
    pulse: Arc<Pulse>,
    /// Since when it is the client's turn to take more of it, in ms; [`NOT_THE_CLIENTS`] where it is not.
    since: AtomicU64,
    /// How long that may be.
    patience: Duration,
    /// The stream that carries it, where it has one of its own.
    stream: Option<Arc<OnceLock<AbortHandle>>>,
}

/// So many requests may be taken back within [`AT_ONCE`], and as many as are answered.
const MOST_TAKEN_BACK: u32 = 500;
const AT_ONCE: Duration = Duration::from_secs(1);

/// The upstream is waited for.
const NOT_THE_CLIENTS: u64 = u64::MAX;

impl Pulse {
    /// That of a connection which begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            active: AtomicU32::new(0),
            rests_since: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            is_shut: AtomicBool::new(false),
            is_unsent: AtomicBool::new(false),
            is_spare: AtomicBool::new(false),
            served: AtomicU32::new(0),
            taken_back: AtomicU32::new(0),
            answers: Mutex::default(),
        })
    }

    /// Begins a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        // Relaxed, both: written and read by tasks of one thread, as all words here.
        self.active.fetch_add(1, Ordering::Relaxed);
        self.is_spare.store(false, Ordering::Relaxed);
        Busy {
            pulse: self.clone(),
            begun: self.now(),
            is_answered: false,
        }
    }

    /// Whether its client does little but begin requests and take them back at once, which costs it nothing and each
    /// upstream a connection.
    pub fn is_flooded(&self) -> bool {
        // Relaxed, both: as in `begin`.
        let taken_back = self.taken_back.load(Ordering::Relaxed);
        taken_back > MOST_TAKEN_BACK && taken_back > self.served.load(Ordering::Relaxed)
    }

    /// Notes bytes that went on.
    pub fn moved(&self) {
        // Relaxed: as in `begin`.
        self.moved.store(self.millis(), Ordering::Relaxed);
    }

    /// Notes whether the system took what was written.
    pub fn wrote(&self, is_taken: bool) {
        // Relaxed: as in `begin`.
        self.is_unsent.store(!is_taken, Ordering::Relaxed);
        if is_taken {
            self.moved();
        }
    }

    /// Notes that it ends for want of requests.
    pub fn spare(&self) {
        // Relaxed: as in `begin`.
        self.is_spare.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn is_spare(&self) -> bool {
        // Relaxed: as in `begin`.
        self.is_spare.load(Ordering::Relaxed)
    }

    /// Notes that the client was told that nothing more comes.
    pub fn shut(&self) {
        // Relaxed: as in `begin`.
        self.is_shut.store(true, Ordering::Relaxed);
        self.moved();
    }

    /// Whether it was told so.
    pub fn is_shut(&self) -> bool {
        // Relaxed: as in `begin`.
        self.is_shut.load(Ordering::Relaxed)
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        // Relaxed: as in `begin`.
        self.active.load(Ordering::Relaxed) == 0
    }

    /// Whether nothing was asked for so long.
    pub fn rests_for(&self, idle: Duration) -> bool {
        self.is_idle() && self.now() >= since(&self.rests_since) + idle
    }

    /// How long it is there.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// How much longer a connection that was `told` to end at that time is waited for: while a request is under way;
    /// then as long as its client takes what hyper still holds, `grace` from byte to byte, and `most` in all. Where the
    /// system holds so much for the client that it takes no more, bytes that move are not seen from here: `most`.
    pub fn ends_in(&self, told: Duration, grace: Duration, most: Duration) -> Duration {
        // After the last word nothing more is answered, whatever was begun.
        if !self.is_idle() && !self.is_shut() {
            return grace;
        }
        // Relaxed: as in `begin`.
        let is_unsent = self.is_unsent.load(Ordering::Relaxed) && !self.is_shut();
        let grace = if is_unsent { most } else { grace };
        let rests = since(&self.rests_since).max(told);
        let quiet = since(&self.moved).max(rests);
        (quiet + grace).min(rests + most).saturating_sub(self.now())
    }

    /// Ends the answers that the client left standing for too long; `false`: one of them has no stream of its own, so
    /// its connection has to end.
    pub fn end_stuck(&self) -> bool {
        // Dropped after the lock: the last of an answer takes it, too.
        let answers: Vec<_> = {
            let answers = self.answers.lock();
            answers.iter().filter_map(Weak::upgrade).collect()
        };
        let now = self.now();
        let mut stuck = answers.iter().filter(|answer| answer.is_stuck(now));
        stuck.all(|answer| answer.end())
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }
}

fn since(word: &AtomicU64) -> Duration {
    // Relaxed: as in `begin`.
    Duration::from_millis(word.load(Ordering::Relaxed))
}

impl Busy {
    /// Notes that it is answered, or was no request.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }

    /// Its answer, which the client has to take in time. To be called in the task of its stream.
    pub fn answer(&self, patience: Duration) -> Arc<Standing> {
        let pulse = self.pulse.clone();
        let standing = Arc::new(Standing {
            since: AtomicU64::new(pulse.millis()),
            pulse,
            patience,
            stream: streams::current(),
        });
        self.pulse.answers.lock().push(Arc::downgrade(&standing));
        standing
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let pulse = &self.pulse;
        // Relaxed, all: as in `begin`.
        pulse.rests_since.store(pulse.millis(), Ordering::Relaxed);
        pulse.active.fetch_sub(1, Ordering::Relaxed);
        let ended = match self.is_answered {
            true => &pulse.served,
            false if pulse.now() < self.begun + AT_ONCE => &pulse.taken_back,
            false => return,
        };
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Standing {
    /// Notes that it was asked for more, and whether there was some: the rest is the client's to ask for, then.
    pub fn asked(&self, is_given: bool) {
        let since = match is_given {
            true => self.pulse.millis(),
            false => NOT_THE_CLIENTS,
        };
        // Relaxed: as in `begin`.
        self.since.store(since, Ordering::Relaxed);
    }

    fn is_stuck(&self, now: Duration) -> bool {
        now > since(&self.since).saturating_add(self.patience)
    }

    /// Ends its stream alone; `false`: it has none.
    fn end(&self) -> bool {
        let stream = self.stream.as_ref().and_then(|stream| stream.get());
        stream.map(AbortHandle::abort).is_some()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut answers = self.pulse.answers.lock();
        answers.retain(|answer| answer.strong_count() > 0);
    }
}

#[cfg(test)]
#[path = "pulse_tests.rs"]
mod tests;
