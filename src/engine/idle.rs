//! The idle set: connections that nobody holds. Being in it is the permit to take one.
//!
//! Promise: an id put is taken once; a `take` that began after a `put` ended finds it, or somebody
//! else did. Cost, affine order: one locked instruction to put and one to take, on a line that no
//! other worker touches while each returns what it took. ArrayQueue is linearizable but not
//! strictly lock-free: a pusher preempted between its two steps makes the popper of that place spin.

use super::slot::SlotId;
use super::stack::Stack;
use crate::sync::{
    ArrayQueue, AtomicU32, CachePadded, MAX_THREADS, Ordering, fence, fence_after_rmw, thread_index,
};

/// Which idle connection is handed out next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum IdleOrder {
    /// The one that this thread returned last, else the one idle longest. The fastest.
    #[default]
    Affine,
    /// The one idle longest: all connections see the same use.
    Fifo,
    /// The one returned last: spare connections age out.
    Lifo,
}

#[derive(Debug)]
pub(super) struct IdleSet {
    /// One place per worker; empty unless the order is affine. 0, or an id as a word.
    hot: Box<[CachePadded<AtomicU32>]>,
    rest: Rest,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one per pool, and a box is a load more on each take
enum Rest {
    Queue(ArrayQueue<SlotId>),
    /// What is on the second was looked at in a pass that is not over.
    Stack(Stack, Stack),
}

impl IdleSet {
    /// A set for ids below `ids`, with hot places for at most `workers` threads.
    pub(super) fn new(order: IdleOrder, ids: u32, workers: usize) -> Self {
        let places = match order {
            IdleOrder::Affine => hot_places(workers, ids as usize),
            IdleOrder::Fifo | IdleOrder::Lifo => 0,
        };
        let rest = match order {
            IdleOrder::Lifo => Rest::Stack(Stack::empty(ids), Stack::empty(ids)),
            IdleOrder::Affine | IdleOrder::Fifo => Rest::Queue(ArrayQueue::new(ids as usize)),
        };
        Self {
            hot: (0..places)
                .map(|_| CachePadded::new(AtomicU32::new(0)))
                .collect(),
            rest,
        }
    }

    /// Takes an idle connection's id, if there is one.
    #[inline]
    pub(super) fn take(&self) -> Option<SlotId> {
        self.own(thread_index())
            .and_then(take_hot)
            .or_else(|| self.take_elsewhere())
    }

    /// Adds an id. Ends in a fence: the caller looks at the gate next.
    #[inline]
    pub(super) fn put(&self, id: SlotId, thread: Option<usize>) {
        if !thread.is_some_and(|thread| self.put_near(id, thread)) {
            self.put_far(id);
        }
    }

    /// Puts an id into this thread's place, if that is free. Ends in a fence then.
    #[inline(always)]
    pub(super) fn put_near(&self, id: SlotId, thread: usize) -> bool {
        let Some(own) = self.own(Some(thread)) else {
            return false;
        };
        // Relaxed: a hint that spares the locked instruction when the place is taken.
        let put = own.load(Ordering::Relaxed) == 0
            // SeqCst: Release for the slot (Acquire in `take_hot`), and ordered before the
            // caller's load of the gate; pairs with the waiter that raises it and takes again.
            && own.compare_exchange(0, id.as_word(), Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if put {
            fence_after_rmw();
        }
        put
    }

    #[inline(always)]
    fn own(&self, thread: Option<usize>) -> Option<&AtomicU32> {
        // A power of two, or zero: then the mask is all ones and no place is found.
        let mask = self.hot.len().wrapping_sub(1);
        self.hot.get(thread? & mask).map(|place| &**place)
    }

    #[inline(never)]
    fn take_elsewhere(&self) -> Option<SlotId> {
        self.take_shared()
            .or_else(|| self.hot.iter().find_map(|place| take_hot(place)))
    }

    /// Puts an id into the part that all threads share. Ends in a fence.
    #[inline(never)]
    pub(super) fn put_far(&self, id: SlotId) {
        match &self.rest {
            Rest::Queue(queue) => {
                let pushed = queue.push(id);
                debug_assert!(pushed.is_ok(), "the queue has a place for every id");
            }
            Rest::Stack(stack, _) => stack.push(id),
        }
        // SeqCst: the queue publishes by a plain store, so the step before the caller's load of
        // the gate has to be made here. Pairs with the waiter's fence after it raised the gate.
        fence(Ordering::SeqCst);
    }

    /// Takes the id that is next in the shared part, or `None`. For maintenance.
    pub(super) fn take_shared(&self) -> Option<SlotId> {
        match &self.rest {
            Rest::Queue(queue) => queue.pop(),
            Rest::Stack(stack, aside) => stack.pop().or_else(|| aside.pop()),
        }
    }

    /// Takes the ids in hot places for which `is_cold` says so. For maintenance.
    pub(super) fn take_cold(
        &self,
        mut is_cold: impl FnMut(SlotId) -> bool,
    ) -> impl Iterator<Item = SlotId> {
        self.hot.iter().filter_map(move |place| {
            // Relaxed: a hint; the take below decides.
            let id = SlotId::from_word(place.load(Ordering::Relaxed))?;
            if is_cold(id) { take_hot(place) } else { None }
        })
    }

    /// Puts an id that a pass looked at where the pass does not meet it again. Ends in a fence, as
    /// `put` does.
    pub(super) fn put_aside(&self, id: SlotId) {
        match &self.rest {
            Rest::Queue(_) => self.put_far(id),
            Rest::Stack(_, aside) => {
                aside.push(id);
                // SeqCst: as in `put_far`.
                fence(Ordering::SeqCst);
            }
        }
    }

    /// Ends a pass: what was put aside lies as it lay before. The caller looks at the gate next.
    pub(super) fn restore(&self) {
        if let Rest::Stack(stack, aside) = &self.rest {
            std::iter::from_fn(|| aside.pop()).for_each(|id| stack.push(id));
            // SeqCst: as in `put_far`.
            fence(Ordering::SeqCst);
        }
    }

    /// How many are idle: exact when nobody takes or puts.
    pub(super) fn len(&self) -> u32 {
        // Relaxed: a number for the statistics.
        let hot = self
            .hot
            .iter()
            .filter(|place| place.load(Ordering::Relaxed) != 0)
            .count();
        self.shared_len()
            .saturating_add(u32::try_from(hot).unwrap_or(u32::MAX))
    }

    /// How many of them lie in no hot place.
    pub(super) fn shared_len(&self) -> u32 {
        match &self.rest {
            Rest::Queue(queue) => u32::try_from(queue.len()).unwrap_or(u32::MAX),
            Rest::Stack(stack, aside) => stack.len() + aside.len(),
        }
    }
}

#[inline(always)]
fn take_hot(place: &AtomicU32) -> Option<SlotId> {
    // SeqCst: a waiter looks here after it raised the gate and fenced; pairs with `put_near`.
    if place.load(Ordering::SeqCst) == 0 {
        return None;
    }
    // Acquire: pairs with the exchange in `put_near`; the taker sees the slot as it was left.
    SlotId::from_word(place.swap(0, Ordering::Acquire))
}

/// A power of two, at most the workers, the connections and 64.
fn hot_places(workers: usize, ids: usize) -> usize {
    let most = workers.min(ids).min(64).min(MAX_THREADS);
    if most == 0 { 0 } else { 1 << most.ilog2() }
}

#[cfg(all(test, not(plunge_loom)))]
mod tests {
    use super::*;

    fn drain(set: &IdleSet) -> Vec<u32> {
        std::iter::from_fn(|| set.take())
            .map(SlotId::number)
            .collect()
    }

    fn fill(order: IdleOrder) -> IdleSet {
        let set = IdleSet::new(order, 4, 2);
        (0..4).for_each(|id| set.put(SlotId::new(id), thread_index()));
        set
    }

    #[test]
    fn each_order_hands_out_what_it_says() {
        assert_eq!(drain(&fill(IdleOrder::Fifo)), [0, 1, 2, 3]);
        assert_eq!(drain(&fill(IdleOrder::Lifo)), [3, 2, 1, 0]);
        assert_eq!(
            drain(&fill(IdleOrder::Affine))[0],
            0,
            "the first went to the hot place"
        );
    }

    #[test]
    fn what_another_thread_returned_is_found() {
        let set = IdleSet::new(IdleOrder::Affine, 4, 4);
        std::thread::scope(|scope| {
            scope.spawn(|| set.put(SlotId::new(3), thread_index()));
        });
        assert_eq!(set.len(), 1);
        assert_eq!(drain(&set), [3]);
    }

    #[test]
    fn a_thread_without_an_index_uses_the_queue() {
        let set = IdleSet::new(IdleOrder::Affine, 2, 2);
        set.put(SlotId::new(1), None);
        assert_eq!(drain(&set), [1]);
    }

    #[test]
    fn hot_places_are_a_power_of_two_within_bounds() {
        let counts = [(0, 9), (1, 9), (3, 9), (8, 5), (200, 500)].map(|(w, n)| hot_places(w, n));
        assert_eq!(counts, [0, 1, 2, 4, 64]);
    }
}
