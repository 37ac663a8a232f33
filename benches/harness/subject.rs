//! Subject: a pool, or a floor below every pool, that can play a case.
//!
//! Promise: static calls only, so that the harness adds no dispatch to a cycle.
//! Cost: none; a case is compiled once for each subject.

use std::any::Any;
use std::future::Future;

use super::{Case, Outcome, fill, play};

/// Something whose objects can be acquired; the guard's drop releases.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The name in the table.
    const NAME: &'static str;

    /// A leased object.
    type Guard<'a>: Send;

    /// Acquires one object.
    fn acquire(&self) -> impl Future<Output = Self::Guard<'_>> + Send;

    /// How many objects are open, or were ever opened where it keeps no other count.
    fn opened(&self) -> usize;

    /// Acquires and releases `cycles` times. Floors without a wait say it without a future.
    fn cycle(&self, cycles: usize) -> impl Future<Output = ()> + Send {
        async move {
            for _ in 0..cycles {
                std::hint::black_box(&self.acquire().await);
            }
        }
    }
}

/// A subject whose type can be named, and so built by it.
pub trait Build: Subject {
    /// Builds it for at most `size` objects. Called inside the runtime that the case runs on.
    fn build(size: usize) -> Self;
}

/// A subject as the table sees it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The subject's name.
    pub name: &'static str,
    /// Whether it plays this case.
    pub plays: fn(&Case) -> bool,
    /// Plays one block of a case.
    pub play: fn(&Case, u64) -> Outcome,
    /// Acquires and releases so many times on a current-thread runtime, to be counted from outside.
    pub count: fn(usize),
    /// The same, where another task always waits for the only object.
    pub count_waits: fn(usize),
    /// Builds one with every object open and idle, to be weighed. Called inside a runtime.
    pub keep: fn(usize) -> Box<dyn Any>,
}

/// Makes the entry of a subject that plays what `plays` says.
pub fn entry<S: Build>(plays: fn(&Case) -> bool) -> Entry {
    Entry {
        name: S::NAME,
        plays,
        play: |case, millis| play(case, millis, S::build),
        count: |cycles| super::count(cycles, S::build),
        count_waits: |cycles| super::count_hand_offs(cycles, S::build),
        keep: |size| Box::new(fill(size, S::build)),
    }
}
