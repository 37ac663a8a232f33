//! Capacity: how many connections may be open at once.
//!
//! Promise: open connections never exceed the limit, whatever is cancelled or panics, and none is
//! opened after a close. Cost: one compare-exchange to take, one subtraction to give back; no lock.

use crate::sync::{AtomicU64, Ordering};

/// | bits   | field  | means                                                     |
/// |--------|--------|-----------------------------------------------------------|
/// | 0..32  | open   | permits taken: idle, leased, connecting and closing ones  |
/// | 32..63 | limit  | permits there are; `open` may exceed it after a shrink    |
/// | 63     | closed | no permit is given any more                               |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CapacityWord(u64);

impl CapacityWord {
    const CLOSED: u64 = 1 << 63;
    const ONE: u64 = 1;

    const fn new(limit: u32) -> Self {
        Self((limit as u64) << 32)
    }

    pub(crate) const fn open(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn limit(self) -> u32 {
        (self.0 >> 32) as u32 & (u32::MAX >> 1)
    }

    pub(crate) const fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    /// Permits that may be taken now.
    pub(crate) const fn free(self) -> u32 {
        if self.is_closed() {
            0
        } else {
            self.limit().saturating_sub(self.open())
        }
    }

    const fn with_one_more(self) -> Option<Self> {
        if self.free() > 0 {
            Some(Self(self.0 + Self::ONE))
        } else {
            None
        }
    }

    const fn with_limit(self, limit: u32) -> Self {
        Self(self.0 & (Self::CLOSED | u32::MAX as u64) | (limit as u64) << 32)
    }
}

#[derive(Debug)]
pub(super) struct Capacity(AtomicU64);

impl Capacity {
    pub(super) fn new(limit: u32) -> Self {
        Self(AtomicU64::new(CapacityWord::new(limit).0))
    }

    pub(super) fn peek(&self) -> CapacityWord {
        // SeqCst: a waiter looks here after its fence; the other variable is the gate.
        CapacityWord(self.0.load(Ordering::SeqCst))
    }

    /// Takes a permit, to be given back by [`give_back`](Self::give_back).
    pub(super) fn try_take(&self) -> bool {
        self.update(CapacityWord::with_one_more).is_some()
    }

    /// Gives a permit back. The caller fences and looks at the gate: a freed permit is a put.
    pub(super) fn give_back(&self) -> CapacityWord {
        // SeqCst: ordered before the load of the gate; pairs with the waiter's `peek`.
        CapacityWord(self.0.fetch_sub(CapacityWord::ONE, Ordering::SeqCst) - CapacityWord::ONE)
    }

    /// Sets the limit; tells the word before. The caller fences and looks at the gate.
    pub(super) fn set_limit(&self, limit: u32) -> CapacityWord {
        self.update(|word| Some(word.with_limit(limit)))
            .unwrap_or_else(|| self.peek())
    }

    /// From now on no permit is given, unless some are taken. Tells whether it is closed.
    #[cfg(any(plunge_loom, feature = "keyed"))]
    pub(super) fn close_if_empty(&self) -> bool {
        let empty = |word: CapacityWord| {
            (word.open() == 0).then_some(CapacityWord(word.0 | CapacityWord::CLOSED))
        };
        self.update(empty).is_some()
    }

    /// From now on no permit is given.
    pub(super) fn close(&self) {
        // SeqCst: one order with every `try_take`; what was taken before is seen by the closer.
        self.0.fetch_or(CapacityWord::CLOSED, Ordering::SeqCst);
    }

    fn update(
        &self,
        change: impl Fn(CapacityWord) -> Option<CapacityWord>,
    ) -> Option<CapacityWord> {
        let mut seen = self.peek();
        loop {
            let changed = change(seen)?;
            // SeqCst: one order with `close` and `give_back`, for a raised limit is a put too.
            match self.0.compare_exchange_weak(
                seen.0,
                changed.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(before) => return Some(CapacityWord(before)),
                Err(now) => seen = CapacityWord(now),
            }
        }
    }
}

#[cfg(all(test, not(plunge_loom)))]
mod tests {
    use super::*;

    #[test]
    fn open_never_passes_the_limit() {
        let capacity = Capacity::new(2);
        assert!(capacity.try_take() && capacity.try_take());
        assert!(!capacity.try_take());
        capacity.set_limit(1);
        assert_eq!(capacity.peek().free(), 0);
        capacity.give_back();
        assert!(!capacity.try_take(), "one is open and one is allowed");
        capacity.give_back();
        assert!(capacity.try_take());
    }

    #[test]
    fn nothing_is_given_after_a_close() {
        let capacity = Capacity::new(1);
        capacity.close();
        assert!(!capacity.try_take());
        capacity.set_limit(5);
        assert!(capacity.peek().is_closed() && !capacity.try_take());
    }
}
