//! Subject: a pool, or a floor below every pool, that can play a case.
//!
//! Promise: static calls only, so that the harness adds no dispatch to a cycle.
//! Cost: none; a case is compiled once for each subject.

use std::future::Future;

use super::{Case, Outcome, play};

/// Something whose objects can be acquired; the guard's drop releases.
pub trait Subject: Clone + Send + Sync + 'static {
    /// The name in the table.
    const NAME: &'static str;

    /// A leased object.
    type Guard<'a>: Send;

    /// Builds it for at most `size` objects. Called inside the runtime that the case runs on.
    fn build(size: usize) -> Self;

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

/// A subject as the table sees it.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The subject's name.
    pub name: &'static str,
    /// The cases it plays; all of them if empty.
    pub cases: &'static [&'static str],
    /// Plays one block of a case.
    pub play: fn(&Case, u64) -> Outcome,
}

/// Makes the entry of a subject that plays these cases, or all if there are none.
pub fn entry<S: Subject>(cases: &'static [&'static str]) -> Entry {
    Entry {
        name: S::NAME,
        cases,
        play: play::<S>,
    }
}
