//! Outcome: what one block gave, and what one task counted for it.
//!
//! Promise: the numbers of all tasks in one; a task that never got an object shows as an evenness
//! of zero; a block in which nobody got one counts as one cycle that took all of it.
//! Cost: one histogram a task, merged after the clock stopped.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Distance, Side};

/// What one block gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The round it was played in.
    pub round: usize,
    /// Nanoseconds a cycle, over all tasks together.
    pub ns_per_cycle: f64,
    /// Waits in nanoseconds; empty where the case measures none.
    pub waits: Histogram<u64>,
    /// Cycles of the slowest task divided by those of the fastest.
    pub evenness: f64,
    /// Openings that a cycle began, where opening is the case.
    pub opened: f64,
    /// How far apart the cores were, where it shows.
    pub distance: Option<Distance>,
    /// The part of their time for which workers waited for a core that somebody else had.
    pub kept_off: f64,
}

/// From this part on, a block had not its cores for itself.
const CROWDED: f64 = 0.1;

/// What one task counted while the clock ran.
pub struct Tally {
    /// Cycles ended.
    pub cycles: u64,
    /// Waits in nanoseconds.
    pub waits: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            cycles: 0,
            waits: Histogram::new_with_bounds(1, 60_000_000_000, 2)
                .expect("constant bounds are valid"),
        }
    }

    /// Counts a wait.
    pub fn waited(&mut self, time: Duration) {
        self.waits
            .saturating_record((time.as_nanos() as u64).max(1));
    }
}

impl Outcome {
    /// Where the cores were; of a block to which that does not show, whether its core was its own.
    pub fn side(&self) -> Side {
        match self.distance {
            Some(distance) => self.side_between(distance),
            None if self.kept_off > CROWDED => Side::Crowded,
            None => Side::Any,
        }
    }

    /// The same, by two readings around it.
    pub fn side_between(&self, distance: Distance) -> Side {
        match self.kept_off > CROWDED {
            true => Side::Crowded,
            false => distance.side(),
        }
    }

    /// One task's block.
    pub fn alone(elapsed: Duration, tally: Tally) -> Self {
        Self {
            round: 0,
            ns_per_cycle: elapsed.as_nanos() as f64 / tally.cycles.max(1) as f64,
            waits: tally.waits,
            evenness: 1.0,
            opened: 0.0,
            distance: None,
            kept_off: 0.0,
        }
    }

    /// Many tasks' block.
    pub fn of(tallies: &[Tally], elapsed: Duration) -> Self {
        let cycles = || tallies.iter().map(|tally| tally.cycles);
        let total: u64 = cycles().sum();
        let (least, most) = (cycles().min().unwrap_or(0), cycles().max().unwrap_or(0));
        let mut waits = Tally::new().waits;
        for tally in tallies {
            waits.add(&tally.waits).expect("the bounds are the same");
        }
        Self {
            round: 0,
            ns_per_cycle: elapsed.as_nanos() as f64 / total.max(1) as f64,
            waits,
            evenness: least as f64 / most.max(1) as f64,
            opened: 0.0,
            distance: None,
            kept_off: 0.0,
        }
    }
}
