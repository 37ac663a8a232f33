//! The line: who waits for a connection, and which dials are under way for them.
//!
//! An intrusive list through the waiting futures, first come first served, behind one small mutex
//! that is touched only when the idle set is empty. The count of pending dials lives beside it, so
//! that a skipped, finished or failed dial and the demand for the next are one step.
//!
//! Promise: a node in the list is alive; a verdict is given once and is the last touch of a node.
//! Cost: no allocation.

use std::ptr;
use std::task::Waker;

use super::capacity::Capacity;
use super::slot::SlotId;
use super::wakes::Wakes;
use crate::sync::{AtomicU32, Ordering};
use crate::time::Tick;

/// What became of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Waiting,
    Closed,
    Failed,
    Expired,
    Served(SlotId),
}

impl Verdict {
    const SERVED: u32 = 4;

    fn pack(self) -> u32 {
        match self {
            Self::Waiting => 0,
            Self::Closed => 1,
            Self::Failed => 2,
            Self::Expired => 3,
            Self::Served(id) => Self::SERVED + id.number(),
        }
    }

    fn unpack(word: u32) -> Self {
        match word {
            0 => Self::Waiting,
            1 => Self::Closed,
            2 => Self::Failed,
            3 => Self::Expired,
            served => Self::Served(SlotId::new(served - Self::SERVED)),
        }
    }
}

/// A place in the line. While it is in the list only the holder of the mutex touches it, but for
/// `verdict`, which its owner may load; after a verdict it is its owner's alone.
#[derive(Debug)]
pub(super) struct Node<F> {
    prev: *mut Node<F>,
    next: *mut Node<F>,
    pub(super) waker: Option<Waker>,
    since: Tick,
    deadline: Tick,
    /// A permit is said to be free: the next poll starts a dial.
    granted: bool,
    /// Something idle was seen: the next poll takes it (where newcomers may overtake).
    nudged: bool,
    pub(super) failure: Option<F>,
    verdict: AtomicU32,
}

impl<F> Node<F> {
    pub(super) fn new(waker: Waker, since: Tick, deadline: Tick) -> Self {
        Self {
            prev: ptr::null_mut(),
            next: ptr::null_mut(),
            waker: Some(waker),
            since,
            deadline,
            granted: false,
            nudged: false,
            failure: None,
            verdict: AtomicU32::new(Verdict::Waiting.pack()),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        // Acquire: pairs with the store in `judge`; a served connection is seen as it was left,
        // and nobody touches the node any more.
        Verdict::unpack(self.verdict.load(Ordering::Acquire))
    }
}

#[derive(Debug)]
pub(super) struct WaitList<F> {
    head: *mut Node<F>,
    tail: *mut Node<F>,
    len: u32,
    /// Dials under way, each with a permit.
    pending: u32,
    /// Those of them that nobody in line asked for: the idle set is being filled.
    spare: u32,
    /// Nodes with the flag `granted`.
    granted: u32,
    /// A failed dial waits before the next is made.
    paused: bool,
    pub(super) max_connecting: u32,
    pub(super) max_waiters: u32,
}

// SAFETY: the pointers are to nodes in pinned futures, which may be on any thread; all access is
// under the mutex that holds the list, and what a node carries is `Send`.
unsafe impl<F: Send> Send for WaitList<F> {}

impl<F: Clone> WaitList<F> {
    pub(super) fn new(max_connecting: u32, max_waiters: u32) -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            len: 0,
            pending: 0,
            spare: 0,
            granted: 0,
            paused: false,
            max_connecting,
            max_waiters,
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn pending(&self) -> u32 {
        self.pending
    }

    /// Adds a node at the end.
    ///
    /// # Safety
    ///
    /// The node is pinned, not in a list, and is removed by [`remove`](Self::remove) or gets a
    /// verdict before it is freed.
    pub(super) unsafe fn push(&mut self, node: *mut Node<F>) {
        // SAFETY: the node is the caller's until it is linked.
        unsafe { (*node).prev = self.tail };
        match self.tail.is_null() {
            true => self.head = node,
            // SAFETY: the tail is in the list, so it is alive and ours under the mutex.
            false => unsafe { (*self.tail).next = node },
        }
        self.tail = node;
        self.len += 1;
    }

    /// Takes a node without a verdict out. Tells whether it was nudged: then somebody else has to
    /// be.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn remove(&mut self, node: *mut Node<F>) -> bool {
        // SAFETY: a node in the list is alive and ours under the mutex.
        let (prev, next, granted, nudged) =
            unsafe { ((*node).prev, (*node).next, (*node).granted, (*node).nudged) };
        match prev.is_null() {
            true => self.head = next,
            // SAFETY: as above, for its neighbour.
            false => unsafe { (*prev).next = next },
        }
        match next.is_null() {
            true => self.tail = prev,
            // SAFETY: as above, for its neighbour.
            false => unsafe { (*next).prev = prev },
        }
        self.len -= 1;
        self.granted -= u32::from(granted);
        nudged
    }

    /// The node at the front is polled again: it leaves a new waker and takes note of its grant.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn renew(
        &mut self,
        node: *mut Node<F>,
        waker: Waker,
        old: &mut Option<Waker>,
    ) {
        // SAFETY: a node in the list is alive and ours under the mutex.
        let node = unsafe { &mut *node };
        self.granted -= u32::from(node.granted);
        node.granted = false;
        node.nudged = false;
        *old = node.waker.replace(waker);
    }

    /// Gives the first its verdict: the last touch of its node.
    fn judge_head(&mut self, verdict: Verdict, failure: Option<F>, wakes: &mut Wakes) -> bool {
        let node = self.head;
        if node.is_null() {
            return false;
        }
        // SAFETY: the head is in the list.
        if unsafe { self.remove(node) } {
            // It was told of something idle, and is not going to take it.
            self.nudge_head(wakes);
        }
        // SAFETY: out of the list, still without a verdict: ours under the mutex.
        let node = unsafe { &mut *node };
        wakes.push(node.waker.take());
        node.failure = failure;
        // Release: pairs with the Acquire in `Node::verdict`. From here on the node is its owner's.
        node.verdict.store(verdict.pack(), Ordering::Release);
        true
    }

    /// Hands a connection to the first in line.
    pub(super) fn serve_head(&mut self, id: SlotId, wakes: &mut Wakes) -> bool {
        self.judge_head(Verdict::Served(id), None, wakes)
    }

    pub(super) fn fail_head(&mut self, failure: F, wakes: &mut Wakes) {
        self.judge_head(Verdict::Failed, Some(failure), wakes);
    }

    pub(super) fn fail_all(&mut self, failure: &F, wakes: &mut Wakes) {
        while self.judge_head(Verdict::Failed, Some(failure.clone()), wakes) {}
    }

    pub(super) fn close(&mut self, wakes: &mut Wakes) {
        while self.judge_head(Verdict::Closed, None, wakes) {}
    }

    /// Evicts the waiters at the front whose time is over, so that they are never served.
    pub(super) fn expire(&mut self, now: Tick, wakes: &mut Wakes) {
        while self.head_deadline().is_some_and(|deadline| deadline <= now) {
            self.judge_head(Verdict::Expired, None, wakes);
        }
    }

    pub(super) fn head_deadline(&self) -> Option<Tick> {
        // SAFETY: the head, if there is one, is in the list.
        unsafe { self.head.as_ref() }.map(|head| head.deadline)
    }

    pub(super) fn head_since(&self) -> Option<Tick> {
        // SAFETY: as in `head_deadline`.
        unsafe { self.head.as_ref() }.map(|head| head.since)
    }

    /// Tells the first in line that something is idle.
    pub(super) fn nudge_head(&mut self, wakes: &mut Wakes) {
        // SAFETY: as in `head_deadline`.
        if let Some(head) = unsafe { self.head.as_mut() } {
            head.nudged = true;
            wakes.push(head.waker.take());
        }
    }

    /// How many dials may be begun: one for each waiter, at most `max_connecting` at once.
    fn wanted(&self) -> u32 {
        let asked = self.len.saturating_add(self.spare);
        if self.paused {
            0
        } else {
            asked.min(self.max_connecting).saturating_sub(self.pending)
        }
    }

    /// Takes a permit for one more dial, if one is wanted.
    pub(super) fn claim(&mut self, capacity: &Capacity) -> bool {
        let claimed = self.wanted() > 0 && capacity.try_take();
        self.pending += u32::from(claimed);
        claimed
    }

    /// Takes a permit for a dial that nobody in line asked for, up to `most` of them at once.
    pub(super) fn claim_spare(&mut self, capacity: &Capacity, most: u32) -> bool {
        let room = !self.paused && self.spare < most && self.pending < self.max_connecting;
        let claimed = room && capacity.try_take();
        self.pending += u32::from(claimed);
        self.spare += u32::from(claimed);
        claimed
    }

    /// Tells waiters that permits are free: each polls and claims one.
    pub(super) fn grant(&mut self, free: u32, wakes: &mut Wakes) {
        let mut due = self.wanted().min(free).saturating_sub(self.granted);
        let mut node = self.head;
        while due > 0 && !node.is_null() {
            // SAFETY: reached from the head by links: in the list.
            let waiter = unsafe { &mut *node };
            if !waiter.granted {
                waiter.granted = true;
                self.granted += 1;
                due -= 1;
                wakes.push(waiter.waker.take());
            }
            node = waiter.next;
        }
    }

    /// Whether fewer wait than dials are under way.
    pub(super) fn is_surplus(&self) -> bool {
        self.len < self.pending - self.spare
    }

    pub(super) fn finish_dial(&mut self, spare: bool) {
        self.pending -= 1;
        self.spare -= u32::from(spare);
    }

    /// No dial is begun until [`resume_dials`](Self::resume_dials). Tells whether this call did it.
    pub(super) fn pause_dials(&mut self) -> bool {
        !std::mem::replace(&mut self.paused, true)
    }

    pub(super) fn resume_dials(&mut self) {
        self.paused = false;
    }
}
