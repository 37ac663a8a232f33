//! Wear: how much of its uses and of its time a child has behind it.
//!
//! | stage   | requests                           | leaves for                                     |
//! |---------|------------------------------------|------------------------------------------------|
//! | `Fresh` | it takes them                      | `Due`, between eight and nine tenths of a limit |
//! | `Due`   | it takes them, and is replaced     | `Worn`, at the limit                            |
//! | `Worn`  | only where there is no other child |                                                |
//!
//! Promise: children that began together are not due together, and nobody gets a use beyond the limit.
//! Cost: a locked instruction a request where uses are limited, else nothing.

use std::hash::{BuildHasher, RandomState};
use tokio::time::Instant;

use crate::proxy::guard::Recycled;
use crate::proxy::options::ServeOptions;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Into how many parts the tenth is cut in which a child is due at a place of its own.
const PARTS: u32 = 1024;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing is to be done.
    Fresh,
    /// Another one is to take its place.
    Due,
    /// It is to have no more.
    Worn,
}

/// The wear of one child.
#[derive(Debug)]
pub struct Wear {
    began: Instant,
    /// Which of the parts.
    part: u32,
    uses: AtomicU64,
    stage: AtomicU32,
}

impl Wear {
    /// That of a child which starts now.
    pub fn begin() -> Self {
        let drawn = RandomState::new().hash_one(PARTS) % u64::from(PARTS);
        Self::of_part(drawn as u32)
    }

    fn of_part(part: u32) -> Self {
        Self {
            began: Instant::now(),
            part,
            uses: AtomicU64::new(0),
            stage: AtomicU32::new(Stage::Fresh as u32),
        }
    }

    /// How far it is, as of the last look or use.
    pub fn stage(&self) -> Stage {
        // Relaxed: a mark of its own; who sees it late is told by `take`.
        match self.stage.load(Ordering::Relaxed) {
            fresh if fresh == Stage::Fresh as u32 => Stage::Fresh,
            due if due == Stage::Due as u32 => Stage::Due,
            _ => Stage::Worn,
        }
    }

    /// Counts a use; `false`: it has had as many as it may have, and this is none.
    pub fn take(&self, most: u64) -> bool {
        // Relaxed: the count alone decides who is the last.
        let before = self.uses.fetch_add(1, Ordering::Relaxed);
        let stage = self.stage_of_uses(before.saturating_add(1), most);
        if stage > Stage::Fresh {
            // Relaxed: see `stage`.
            self.stage.fetch_max(stage as u32, Ordering::Relaxed);
        }
        if before >= most {
            self.give_back();
        }
        before < most
    }

    /// A use that was counted and not made.
    pub fn give_back(&self) {
        // Relaxed: see `take`.
        self.uses.fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks at the limits of now, which may be others than before.
    pub fn look(&self, options: &ServeOptions, now: Instant) {
        let stage = self.by_uses(options).max(self.by_age(options, now));
        // Relaxed: see `stage`; a mark that `take` made meanwhile is made again by the next one.
        self.stage.store(stage as u32, Ordering::Relaxed);
    }

    /// Which limit it is nearest to, of a child that is due.
    pub fn reason(&self, options: &ServeOptions, now: Instant) -> Recycled {
        match self.by_uses(options) > self.by_age(options, now) {
            true => Recycled::Uses,
            false => Recycled::Lifetime,
        }
    }

    fn by_uses(&self, options: &ServeOptions) -> Stage {
        // Relaxed: see `take`.
        let uses = self.uses.load(Ordering::Relaxed);
        let most = options.max_uses;
        most.map_or(Stage::Fresh, |most| self.stage_of_uses(uses, most))
    }

    fn by_age(&self, options: &ServeOptions, now: Instant) -> Stage {
        let Some(most) = options.max_lifetime else {
            return Stage::Fresh;
        };
        let age = now.saturating_duration_since(self.began);
        let early = most / 5 - (most / 10).mul_f64(f64::from(self.part) / f64::from(PARTS));
        stage(age, most - early, most)
    }

    fn stage_of_uses(&self, uses: u64, most: u64) -> Stage {
        let (tenth, part, parts) = (most / 10, u64::from(self.part), u64::from(PARTS));
        // The whole first: a limit may be of any size.
        let early = most / 5 - (tenth / parts * part + tenth % parts * part / parts);
        stage(uses, most - early, most)
    }
}

fn stage<T: PartialOrd>(at: T, due: T, end: T) -> Stage {
    if at >= end {
        Stage::Worn
    } else if at >= due {
        Stage::Due
    } else {
        Stage::Fresh
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::options::{Mode, Upstream};
    use crate::transport::Command;

    fn options(uses: Option<u64>, lifetime: Option<Duration>) -> ServeOptions {
        ServeOptions {
            max_uses: uses,
            max_lifetime: lifetime,
            ..ServeOptions::new(Upstream::Stdio(Command::new("none")), Mode::Shared)
        }
    }

    #[test]
    fn a_child_is_due_before_its_last_use_and_gets_none_beyond_it() {
        for part in [0, PARTS / 2, PARTS - 1] {
            let wear = Wear::of_part(part);
            let mut due = 0;
            for use_ in 1..=1000_u64 {
                assert!(wear.take(1000));
                if due == 0 && wear.stage() == Stage::Due {
                    due = use_;
                }
            }
            assert!((800..=900).contains(&due), "{due} of part {part}");
            assert_eq!(wear.stage(), Stage::Worn);
            assert!(!wear.take(1000), "the limit is reached");
            wear.give_back();
            assert!(wear.take(1000), "one was given back");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn children_that_began_together_are_not_due_together() {
        let hour = Duration::from_secs(3600);
        let options = options(None, Some(hour));
        let parts = 0..PARTS;
        let all: Vec<_> = parts.step_by(64).map(Wear::of_part).collect();
        let due = |minutes: u32| {
            let now = Instant::now() + Duration::from_secs(60) * minutes;
            all.iter()
                .filter(|wear| {
                    wear.look(&options, now);
                    wear.stage() >= Stage::Due
                })
                .count()
        };
        assert_eq!((due(47), due(54)), (0, all.len()));
        assert!((1..all.len()).contains(&due(51)), "{} are", due(51));
        assert_eq!(
            all[0].reason(&options, Instant::now() + hour),
            Recycled::Lifetime
        );
    }

    #[test]
    fn a_limit_may_be_of_any_size() {
        for most in [1, u64::MAX / 8, u64::MAX] {
            assert!(Wear::of_part(PARTS - 1).take(most), "{most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_taken_back_makes_a_child_fresh_again() {
        let wear = Wear::of_part(0);
        assert!(wear.take(1));
        assert_eq!(wear.stage(), Stage::Worn);
        wear.look(&options(Some(10), None), Instant::now());
        assert_eq!(wear.stage(), Stage::Fresh);
    }
}
