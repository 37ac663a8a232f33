//! A stack of slot ids without a lock.
//!
//! Promise: each id pushed is popped once, the latest first. Cost: one compare-exchange each.
//! Algorithm: R. K. Treiber, "Systems Programming: Coping with Parallelism", 1986, with a tag
//! beside the head against the reuse of an id between a load and its compare-exchange.

use super::slot::SlotId;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// | bits   | field | means                                        |
/// |--------|-------|----------------------------------------------|
/// | 0..32  | top   | the id on top plus one, or 0: empty          |
/// | 32..64 | tag   | counts changes, so that no head comes twice  |
#[derive(Clone, Copy)]
struct Head(u64);

impl Head {
    const fn top(self) -> u32 {
        self.0 as u32
    }

    const fn next(self, top: u32) -> Self {
        let tag = ((self.0 >> 32) as u32).wrapping_add(1);
        Self((tag as u64) << 32 | top as u64)
    }
}

#[derive(Debug)]
pub(super) struct Stack {
    head: AtomicU64,
    /// For each id what lies below it: an id plus one, or 0. Only its pusher writes it.
    below: Box<[AtomicU32]>,
    len: AtomicU32,
}

impl Stack {
    pub(super) fn empty(ids: u32) -> Self {
        let below = (0..ids).map(|_| AtomicU32::new(0)).collect();
        Self {
            head: AtomicU64::new(0),
            below,
            len: AtomicU32::new(0),
        }
    }

    /// A stack with all ids in it, the lowest on top.
    pub(super) fn full(ids: u32) -> Self {
        let below = (0..ids)
            .map(|id| AtomicU32::new(if id + 1 < ids { id + 2 } else { 0 }))
            .collect();
        Self {
            head: AtomicU64::new(u64::from(ids.min(1))),
            below,
            len: AtomicU32::new(ids),
        }
    }

    pub(super) fn push(&self, id: SlotId) {
        // Relaxed: a count for the statistics; it moves before the id can be taken.
        self.len.fetch_add(1, Ordering::Relaxed);
        // Relaxed: the compare-exchange below decides.
        let mut head = Head(self.head.load(Ordering::Relaxed));
        loop {
            // Relaxed: published by the compare-exchange below.
            self.below[id.index()].store(head.top(), Ordering::Relaxed);
            let pushed = head.next(id.as_word());
            // SeqCst: Release for `below` and for the slot, read after the Acquire in `pop`; and
            // ordered before the pusher's look at the gate.
            match self.head.compare_exchange_weak(
                head.0,
                pushed.0,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = Head(now),
            }
        }
    }

    pub(super) fn pop(&self) -> Option<SlotId> {
        // SeqCst: a waiter looks here after it raised the gate. Acquire: pairs with `push`.
        let mut head = Head(self.head.load(Ordering::SeqCst));
        loop {
            let top = head.top().checked_sub(1)?;
            // Relaxed: if it changed meanwhile, so did the tag, and the exchange below fails.
            let popped = head.next(self.below[top as usize].load(Ordering::Relaxed));
            // Acquire: pairs with the exchange in `push`; the taker sees the slot as it was put.
            match self.head.compare_exchange_weak(
                head.0,
                popped.0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => break,
                Err(now) => head = Head(now),
            }
        }
        // Relaxed: moves after the id was taken, so that no reader sees it wrap.
        self.len.fetch_sub(1, Ordering::Relaxed);
        SlotId::from_word(head.top())
    }

    pub(super) fn len(&self) -> u32 {
        // Relaxed: a number for the statistics.
        self.len.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(plunge_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_in_is_the_first_out() {
        let stack = Stack::full(3);
        assert_eq!(stack.pop(), Some(SlotId::new(0)));
        assert_eq!(stack.pop(), Some(SlotId::new(1)));
        stack.push(SlotId::new(0));
        assert_eq!(stack.len(), 2);
        assert_eq!(stack.pop(), Some(SlotId::new(0)));
        assert_eq!(stack.pop(), Some(SlotId::new(2)));
        assert_eq!(stack.pop(), None);
        assert_eq!(Stack::empty(2).pop(), None);
    }
}
