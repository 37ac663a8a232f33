//! A watch on coarse clocks that nobody advances.
//!
//! A current-thread runtime runs only while somebody blocks on it, and any runtime may be blocked:
//! the coarse tick stands still meanwhile, the first hit after it would take an old time for now,
//! and a waiter that counts on the next tick would wait for ever. One thread for all pools puts
//! such clocks to sleep; then a hit looks at the real clock, and waiters arm timers of their own.
//!
//! Promise: it only ever makes a clock sleep, which is always safe. Cost: four looks a second while
//! some pool is attended; no thread before and none after.

use std::thread;

use super::guarded;
use super::shared::Body;
use crate::sync::{Arc, Mutex, PerProcess, Weak};
use crate::time::{LAG, Tick};

/// A clock to be looked at.
trait Watched: Send + Sync {
    /// Puts the clock to sleep if nobody advanced it lately. `false`: nobody attends it any more.
    fn look(&self) -> bool;
}

impl<T: Send + 'static> Watched for Body<T> {
    fn look(&self) -> bool {
        let maintenance = &self.host().maintenance;
        if maintenance.is_late(LAG) {
            self.tick().store(Tick::NEVER);
            // Whoever waits counted on the next tick.
            self.rouse();
        }
        maintenance.is_attended()
    }
}

struct Round {
    running: bool,
    watched: Vec<Weak<dyn Watched>>,
}

/// A forked child has a thread of its own, and nothing of the parent's to look at.
static ROUND: PerProcess<Mutex<Round>> = PerProcess::new(|| {
    Mutex::new(Round {
        running: false,
        watched: Vec::new(),
    })
});

/// Watches a pool's clock until nobody attends it. The caller sees to it that it is not watched yet.
pub(crate) fn watch<T: Send + 'static>(body: &Arc<Body<T>>) {
    let weak: Weak<dyn Watched> = Arc::<Body<T>>::downgrade(body);
    let round = ROUND.get();
    let mut round = round.lock();
    round.watched.push(weak);
    if !round.running {
        let thread = thread::Builder::new().name("plunge-clock".into());
        // Without a thread the clocks stay as they are: late, as the docs of `metadata` say.
        round.running = thread.spawn(walk).is_ok();
    }
}

fn walk() {
    let round = ROUND.get();
    loop {
        thread::park_timeout(LAG);
        let watched = std::mem::take(&mut round.lock().watched);
        // Outside the lock: a look may drop the last reference to a pool. It wakes callers, too, and
        // what panics there is theirs: the other pools are looked at all the same.
        let look = |weak: &Weak<dyn Watched>| weak.upgrade().is_some_and(|pool| pool.look());
        let is_kept = |weak: &_| guarded::call("look", || look(weak)).unwrap_or(true);
        let kept = watched.into_iter().filter(is_kept).collect::<Vec<_>>();
        let mut round = round.lock();
        round.watched.extend(kept);
        if round.watched.is_empty() {
            round.running = false;
            return;
        }
    }
}
