//! Wakers taken out under a lock, woken after it.
//!
//! Promise: no waker is woken or dropped under the lock, and none is forgotten: the drop wakes, and
//! where one of them panics it wakes the others before the panic goes on.
//! Cost: no allocation for up to two, which is all a put wakes where nobody's time is over.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;
use std::thread::panicking;

#[must_use = "dropped too early, it wakes under the lock"]
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    first: [Option<Waker>; 2],
    rest: Vec<Waker>,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.first.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(waker),
            None => self.rest.push(waker),
        }
    }

    /// Adds those of another batch.
    #[inline]
    pub(super) fn append(&mut self, other: Self) {
        // The places are filled in order.
        if other.first[0].is_some() {
            self.append_some(other);
        }
    }

    fn append_some(&mut self, mut other: Self) {
        let places = std::mem::take(&mut other.first);
        places.into_iter().for_each(|waker| self.push(waker));
        self.rest.append(&mut other.rest);
    }
}

impl Wakes {
    #[cold]
    fn wake_several(&mut self, first: Waker) {
        let second = self.first[1].take();
        let all = std::iter::once(first)
            .chain(second)
            .chain(self.rest.drain(..));
        // All of them, then the first panic.
        let panic = all.fold(None, |panic: Option<_>, waker| {
            panic.or(catch_unwind(AssertUnwindSafe(|| waker.wake())).err())
        });
        // A second panic of a thread would end the process: the first one goes on.
        if let Some(payload) = panic.filter(|_| !panicking()) {
            resume_unwind(payload);
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        // The places are filled in order.
        let Some(first) = self.first[0].take() else {
            return;
        };
        if self.first[1].is_none() && !panicking() {
            first.wake();
        } else {
            self.wake_several(first);
        }
    }
}
