//! Wakers taken out under a lock, woken after it.
//!
//! Promise: no waker is woken or dropped under the lock, and none is forgotten: the drop wakes, also
//! the others of one that panics.
//! Cost: no allocation for up to two, which is all a put ever wakes.

use std::task::Waker;

#[must_use = "dropped too early, it wakes under the lock"]
#[derive(Debug, Default)]
pub(super) struct Wakes {
    first: Due,
    second: Due,
    rest: Vec<Due>,
}

impl Wakes {
    #[inline]
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        match waker {
            None => {}
            waker if self.first.is_none() => self.first = Due(waker),
            waker if self.second.is_none() => self.second = Due(waker),
            waker => self.rest.push(Due(waker)),
        }
    }
}

/// A waker that is woken when it is dropped. Each on its own, so that one that panics keeps none of
/// the others from being woken.
#[derive(Debug, Default)]
struct Due(Option<Waker>);

impl Due {
    fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl Drop for Due {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}
