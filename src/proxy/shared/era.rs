//! Which revision the children of a group speak: asked for once, then known.
//!
//! Promise: what was proven by an answer is kept until another answer proves otherwise; what was only supposed is
//! asked for again after a while, so that one bad moment at a start is not kept for ever.
//!
//! | memory    | a start sends                              | leaves for                                          |
//! |-----------|--------------------------------------------|-----------------------------------------------------|
//! | `Unknown` | `server/discover`, and `initialize` if no modern answer comes | `Modern`: that came; `Legacy`: `initialize` was answered, for a while only where the question was not |
//! | `Modern`  | `server/discover`, and `initialize` if that is answered otherwise | `Legacy`: both were answered so  |
//! | `Legacy`  | `initialize`                               | `Unknown`: that failed, or the while is over        |

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// How long a supposition is kept, the first time and at most; doubled each time.
const WHILE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

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

    /// Keeps what an answer proved, or forgets what one disproved.
    pub fn set(&self, era: Era) {
        let mut known = self.known.lock();
        (known.era, known.until) = (era, None);
        if era != Era::Unknown {
            known.pause = WHILE.0;
        }
    }

    /// Supposes a handshake for a while: nothing was said that proves one.
    pub fn suppose_legacy(&self, now: Instant) {
        let mut known = self.known.lock();
        (known.era, known.until) = (Era::Legacy, Some(now + known.pause));
        known.pause = (known.pause * 2).min(WHILE.1);
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
        let (eras, now) = (EraMemory::new(Wanted::Modern), Instant::now());
        assert_eq!(eras.get(now), Era::Unknown);
        eras.suppose_legacy(now);
        for era in [Era::Legacy, Era::Modern, Era::Unknown] {
            eras.set(era);
            assert_eq!(eras.get(now + 10 * WHILE.1), era);
        }
        let older = EraMemory::new(Wanted::Legacy);
        older.set(Era::Unknown);
        assert_eq!(older.get(now), Era::Legacy, "nothing else is asked for");
    }
}
