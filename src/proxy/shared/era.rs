//! Which revision the children of a group speak: asked for once, then known.
//!
//! Promise: what was proven by an answer is kept until another answer proves otherwise; what was only supposed is
//! asked for again after a while, so that one bad moment at a start is not kept for ever.
//!
//! | memory    | a start sends                              | leaves for                                          |
//! |-----------|--------------------------------------------|-----------------------------------------------------|
//! | `Unknown` | `server/discover`, and `initialize` if no modern answer comes | `Modern`: that came; `Legacy`: `initialize` was answered, for a while only where the question was not |
//! | `Modern`  | `server/discover`, and `initialize` if that is answered otherwise | `Legacy`: both were answered so |
//! | `Legacy`  | `initialize`; nothing where that is not wanted | `Unknown`: that failed, or the while is over    |
//! | both      |                                            | `Unknown`: three starts in a row had no answer      |

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// How long a supposition is kept, the first time and at most; doubled each time.
const WHILE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));
/// Starts in a row that had no answer to what was answered before: it may be another server by now.
const DOUBTS: u32 = 3;
/// How long a handshake is known of where nobody wants one, and no start can disprove it.
const UNWANTED: Duration = Duration::from_secs(300);

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Revisions with a handshake.
    Legacy,
    /// Nothing yet.
    Unknown,
    /// The revision without sessions.
    Modern,
}

/// Which children a group takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with a handshake: nothing else is asked for.
    Legacy,
    /// Whatever they speak.
    Any,
    /// Those of the revision without sessions alone.
    Modern,
}

/// The memory, shared by the starts of a group.
#[derive(Debug)]
pub struct EraMemory {
    wanted: Wanted,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    era: Era,
    /// Where it is only supposed.
    until: Option<Instant>,
    /// How long the next supposition is kept.
    pause: Duration,
    doubts: u32,
}

impl EraMemory {
    /// Nothing is known.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            known: Mutex::new(Known {
                era: Era::Unknown,
                until: None,
                pause: WHILE.0,
                doubts: 0,
            }),
        }
    }

    /// Which children are taken.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// What is known.
    pub fn get(&self, now: Instant) -> Era {
        if self.wanted == Wanted::Legacy {
            return Era::Legacy;
        }
        let known = self.known.lock();
        match known.until {
            Some(until) if until <= now => Era::Unknown,
            _ => known.era,
        }
    }

    /// Keeps what an answer proved.
    pub fn set(&self, era: Era) {
        let is_unwanted = era == Era::Legacy && self.wanted == Wanted::Modern;
        let mut known = self.known.lock();
        (known.era, known.until) = (era, is_unwanted.then(|| Instant::now() + UNWANTED));
        known.pause = WHILE.0;
    }

    /// Forgets that handshakes are spoken: one failed.
    pub fn disprove_legacy(&self) {
        let mut known = self.known.lock();
        if known.era == Era::Legacy {
            (known.era, known.until) = (Era::Unknown, None);
        }
    }

    /// Notes that a server is asked.
    pub fn ask(&self) -> Unanswered<'_> {
        Unanswered(Some(self))
    }

    fn doubt(&self) {
        let mut known = self.known.lock();
        known.doubts += 1;
        if known.doubts >= DOUBTS {
            (known.era, known.until, known.doubts) = (Era::Unknown, None, 0);
        }
    }

    /// Supposes a handshake for a while: nothing was said that proves one. What another start proved meanwhile stays.
    pub fn suppose_legacy(&self, now: Instant) {
        let mut known = self.known.lock();
        if known.era != Era::Unknown && known.until.is_none() {
            return;
        }
        (known.era, known.until) = (Era::Legacy, Some(now + known.pause));
        known.pause = (known.pause * 2).min(WHILE.1);
    }
}

/// A server that was asked; dropped, it did not answer, in time or at all, and what is known of it is doubted.
pub struct Unanswered<'a>(Option<&'a EraMemory>);

impl Unanswered<'_> {
    /// It said something.
    pub fn answered(mut self) {
        if let Some(eras) = self.0.take() {
            eras.known.lock().doubts = 0;
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(eras) = self.0 {
            eras.doubt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_supposed_is_asked_for_again_after_longer_and_longer() {
        let eras = EraMemory::new(Wanted::Any);
        let mut now = Instant::now();
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            eras.suppose_legacy(now);
            let over = now + Duration::from_secs(60 * minutes);
            assert_eq!(eras.get(over - Duration::from_secs(1)), Era::Legacy);
            assert_eq!(eras.get(over), Era::Unknown, "{minutes}");
            now = over;
        }
    }

    #[test]
    fn what_was_proven_is_kept_until_it_is_disproved() {
        let (eras, now) = (EraMemory::new(Wanted::Any), Instant::now());
        assert_eq!(eras.get(now), Era::Unknown);
        eras.suppose_legacy(now);
        for era in [Era::Legacy, Era::Modern] {
            eras.set(era);
            eras.suppose_legacy(now);
            assert_eq!(eras.get(now + 10 * WHILE.1), era);
        }
        eras.disprove_legacy();
        assert_eq!(eras.get(now), Era::Modern);
        eras.set(Era::Legacy);
        eras.disprove_legacy();
        assert_eq!(eras.get(now), Era::Unknown);
        let beside = EraMemory::new(Wanted::Modern);
        beside.set(Era::Legacy);
        assert_eq!(beside.get(now), Era::Legacy);
        let later = Instant::now() + UNWANTED;
        assert_eq!(beside.get(later), Era::Unknown, "it may be another server");
        let older = EraMemory::new(Wanted::Legacy);
        older.disprove_legacy();
        assert_eq!(older.get(now), Era::Legacy, "nothing else is asked for");
    }

    #[test]
    fn what_is_known_is_doubted_when_three_starts_in_a_row_had_no_answer() {
        let (eras, now) = (EraMemory::new(Wanted::Any), Instant::now());
        for era in [Era::Legacy, Era::Modern] {
            eras.set(era);
            for _ in 1..DOUBTS {
                drop(eras.ask());
            }
            eras.ask().answered();
            for _ in 1..DOUBTS {
                drop(eras.ask());
                assert_eq!(eras.get(now), era);
            }
            drop(eras.ask());
            assert_eq!(eras.get(now), Era::Unknown, "{era:?}");
        }
    }
}
