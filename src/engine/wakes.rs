//! Wakers taken out under a lock, woken after it.
//!
//! Promise: no waker is woken or dropped under the lock, and none is forgotten: the drop wakes.
//! Cost: no allocation for up to two, which is all a put ever wakes.

use std::task::Waker;

#[must_use = "dropped too early, it wakes under the lock"]
#[derive(Debug, Default)]
pub(super) struct Wakes {
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
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        self.first
            .iter_mut()
            .filter_map(Option::take)
            .chain(self.rest.drain(..))
            .for_each(Waker::wake);
    }
}
