//! Distance: how far apart two cores are, by a cache line thrown between two threads.
//!
//! Promise: the quickest of many throws, so that an interruption does not show; no reading where the
//! two threads did not get to run at once within a bound. The cores of a virtual machine are moved
//! about: a crowd makes a fourth of its cycles where they are far apart, whatever it plays, so that two
//! blocks compare only if they were played on the same side.
//! Cost: two threads, and a fifth of a millisecond where cores are near, one where they are far; twelve where
//! somebody else has a core.

use std::hint::spin_loop;
use std::sync::atomic::{
    AtomicBool, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::pin::pin;

/// Throws there and back in a batch, and batches of a reading.
const THROWS: u32 = 50;
const BATCHES: u32 = 24;
/// How long the threads may take to meet, and how often two of them try.
const PATIENCE: Duration = Duration::from_millis(2);
const TRIES: usize = 6;
/// Turns of a spin between two looks at the clock.
const LOOK: u32 = 256;
/// Nanoseconds there and back from which on cores are far: two that share a cache take 40 to 210, two
/// that do not 340 and more.
const FAR: f64 = 270.0;

/// Where the cores were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// They share a cache.
    Near,
    /// They do not.
    Far,
    /// Somebody else had one of them: two threads did not get to run at once, or the workers waited for it.
    Crowded,
    /// Not the same all the time.
    Mixed,
    /// Nobody asked: it does not show in the case, and nobody else had its core.
    Any,
}

impl Side {
    /// The word of a record and a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Crowded => "crowded",
            Self::Mixed => "mixed",
            Self::Any => "any",
        }
    }

    /// The side of a word; `Any` where a record does not say.
    pub fn named(name: &str) -> Self {
        let all = [Self::Near, Self::Far, Self::Crowded, Self::Mixed];
        let found = all.into_iter().find(|side| side.name() == name);
        found.unwrap_or(Self::Any)
    }

    /// The side of everything that was played on these.
    pub fn of_all(sides: impl IntoIterator<Item = Self>) -> Self {
        let one = |a: Self, b| if a == b { a } else { Self::Mixed };
        sides.into_iter().reduce(one).unwrap_or(Self::Any)
    }
}

/// Two readings, around what was played between them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distance {
    /// Nanoseconds there and back; nothing where the threads did not meet.
    pub before: Option<f64>,
    /// The same, afterwards.
    pub after: Option<f64>,
}

impl Distance {
    /// Where the cores were, as far as two readings tell.
    pub fn side(self) -> Side {
        Side::of_all([side(self.before), side(self.after)])
    }
}

fn side(reading: Option<f64>) -> Side {
    match reading {
        Some(nanos) if nanos < FAR => Side::Near,
        Some(_) => Side::Far,
        None => Side::Crowded,
    }
}

/// Nanoseconds that a cache line takes to another core and back; nothing where two threads did not get
/// to run at once.
pub fn throw() -> Option<f64> {
    (0..TRIES).find_map(|_| throw_once())
}

fn throw_once() -> Option<f64> {
    let line = CachePadded::new(AtomicU32::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            answer(&line, &over);
        });
        let thrower = scope.spawn(|| {
            pin(0);
            let start = Instant::now();
            let batches =
                (0..BATCHES).map_while(|batch| throw_batch(&line, batch * THROWS * 2, start));
            let least = batches.reduce(f64::min);
            // Relaxed: nothing is published with it.
            over.store(true, Relaxed);
            least
        });
        thrower.join().ok().flatten()
    })
}

/// Throws from `first` on; nothing once patience is over.
fn throw_batch(line: &AtomicU32, first: u32, start: Instant) -> Option<f64> {
    let before = Instant::now();
    for throw in 0..THROWS {
        let sent = first + throw * 2 + 1;
        // Release and Acquire, here and in `answer`: partners, as a lock's hand-over is.
        line.store(sent, Release);
        let mut turns = 0_u32;
        while line.load(Acquire) != sent + 1 {
            turns += 1;
            if turns.is_multiple_of(LOOK) && start.elapsed() > PATIENCE {
                return None;
            }
            spin_loop();
        }
    }
    Some(before.elapsed().as_nanos() as f64 / f64::from(THROWS))
}

/// Sends back what comes, until it is over.
fn answer(line: &AtomicU32, over: &AtomicBool) {
    let mut awaited = 1;
    loop {
        while line.load(Acquire) != awaited {
            if over.load(Relaxed) {
                return;
            }
            spin_loop();
        }
        line.store(awaited + 1, Release);
        awaited += 2;
    }
}
