//! The line: who waits for a connection, and which dials are under way for them.
//!
//! An intrusive list through the waiting futures, first come first served, behind one small mutex
//! that is touched only when the idle set is empty. The count of pending dials lives beside it, so
//! that a skipped, finished or failed dial and the demand for the next are one step.
//!
//! Promise: a node in the list is alive; a verdict is given once and is the last touch of a node.
//! Cost: no allocation, but for a box for each that a failed dial ends.

use std::ptr;
use std::task::Waker;

use super::slot::SlotId;
use super::wakes::Wakes;
use crate::sync::{AtomicU32, Ordering, UnsafeCell};
use crate::time::Tick;

/// What became of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Waiting,
    Closed,
    Failed,
    Expired,
    /// It left, and is in no list.
    Left,
    Served(SlotId),
}

impl Verdict {
    const SERVED: u32 = 5;

    fn pack(self) -> u32 {
        match self {
            Self::Waiting => 0,
            Self::Closed => 1,
            Self::Failed => 2,
            Self::Expired => 3,
            Self::Left => 4,
            Self::Served(id) => Self::SERVED + id.number(),
        }
    }

    fn unpack(word: u32) -> Self {
        match word {
            0 => Self::Waiting,
            1 => Self::Closed,
            2 => Self::Failed,
            3 => Self::Expired,
            4 => Self::Left,
            served => Self::Served(SlotId::new(served - Self::SERVED)),
        }
    }
}

/// A place in the line. All but the verdict is touched under the list's mutex while the node is in the
/// list, and by its owner alone after a verdict.
///
/// It is one cache line, for it goes to other cores as its neighbours come and go: where it lay on two,
/// a hand-off between cores that are far apart took an eighth longer.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Node<F> {
    verdict: AtomicU32,
    marks: UnsafeCell<Marks>,
    place: UnsafeCell<Place<F>>,
}

/// Why it is polled again. Beside the place, where the verdict leaves room.
#[derive(Debug, Default)]
struct Marks {
    /// A permit is said to be free: the next poll starts a dial.
    granted: bool,
    /// The time.
    roused: bool,
}

#[derive(Debug)]
#[repr(C)]
struct Place<F> {
    /// Who stands before it; means nothing of the head.
    prev: *const Node<F>,
    next: *const Node<F>,
    waker: Option<Waker>,
    since: Tick,
    deadline: Tick,
    /// In a box, for it is rare and the line is full.
    failure: Option<Box<F>>,
}

#[cfg(all(not(plunge_loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Node<()>>() == 64);

impl<F> Node<F> {
    pub(super) fn new(waker: Waker, since: Tick, deadline: Tick) -> Self {
        let place = Place {
            prev: ptr::null(),
            next: ptr::null(),
            waker: Some(waker),
            since,
            deadline,
            failure: None,
        };
        Self {
            verdict: AtomicU32::new(Verdict::Waiting.pack()),
            marks: UnsafeCell::new(Marks::default()),
            place: UnsafeCell::new(place),
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        // Acquire: pairs with the store in `judge_head`; a served connection is seen as it was
        // left, and nobody touches the node any more.
        Verdict::unpack(self.verdict.load(Ordering::Acquire))
    }

    /// The failure that came with the verdict.
    ///
    /// # Safety
    ///
    /// The node has a verdict, and the caller owns it.
    pub(super) unsafe fn take_failure(&self) -> Option<F> {
        // SAFETY: after a verdict the place is its owner's alone.
        self.place
            .with_mut(|place| unsafe { (*place).failure.take() })
            .map(|failure| *failure)
    }

    /// Touches the place.
    ///
    /// # Safety
    ///
    /// The caller holds the mutex of the list that the node is in, or is about to be in.
    unsafe fn at<R>(&self, touch: impl FnOnce(&mut Place<F>) -> R) -> R {
        // SAFETY: the mutex is held, so nobody else touches the place.
        self.place.with_mut(|place| touch(unsafe { &mut *place }))
    }

    /// Touches the marks.
    ///
    /// # Safety
    ///
    /// As for the place.
    unsafe fn marked<R>(&self, touch: impl FnOnce(&mut Marks) -> R) -> R {
        // SAFETY: as above.
        self.marks.with_mut(|marks| touch(unsafe { &mut *marks }))
    }
}

#[derive(Debug)]
pub(super) struct WaitList<F> {
    head: *const Node<F>,
    tail: *const Node<F>,
    len: u32,
    /// Dials under way, each with a permit.
    pending: u32,
    /// Those of them that nobody in line asked for: the idle set is being filled.
    spare: u32,
    /// Nodes with the flag `granted`.
    granted: u32,
    /// Until when a failed dial keeps the next from being made.
    paused: Option<Tick>,
    pub(super) max_connecting: u32,
    pub(super) max_waiters: u32,
}

// SAFETY: the pointers are to nodes in pinned futures, which may be on any thread; all access is
// under the mutex that holds the list, and what a node carries is `Send`.
unsafe impl<F: Send> Send for WaitList<F> {}

impl<F: Clone> WaitList<F> {
    pub(super) fn new(max_connecting: u32, max_waiters: u32) -> Self {
        Self {
            head: ptr::null(),
            tail: ptr::null(),
            len: 0,
            pending: 0,
            spare: 0,
            granted: 0,
            paused: None,
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

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Adds a node at the end; in front if it was there before and got nothing of use.
    ///
    /// # Safety
    ///
    /// The node is pinned, not in a list, and is removed by [`remove`](Self::remove) or gets a
    /// verdict before it is freed.
    pub(super) unsafe fn push(&mut self, node: *const Node<F>, in_front: bool) {
        let (prev, next) = if in_front {
            (ptr::null(), self.head)
        } else {
            (self.tail, ptr::null())
        };
        // SAFETY: the node is the caller's until it is linked; its neighbours are in the list.
        unsafe {
            (*node).at(|place| (place.prev, place.next) = (prev, next));
            self.set_next(prev, node);
            self.set_prev(next, node);
        }
        self.len += 1;
    }

    /// Takes a node without a verdict out.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn remove(&mut self, node: *const Node<F>) {
        // SAFETY: a node in the list is alive, and ours under the mutex.
        let (prev, next, granted) = unsafe {
            let (prev, next) = (*node).at(|place| (place.prev, place.next));
            (prev, next, (*node).marked(|marks| marks.granted))
        };
        // Nobody asks the head for its predecessor, so the new one is left as it is: another core may have
        // had it last, and its line would be fetched under the mutex.
        if node == self.head {
            self.head = next;
            if next.is_null() {
                self.tail = ptr::null();
            }
        } else {
            // SAFETY: as above, for its neighbours.
            unsafe {
                self.set_next(prev, next);
                self.set_prev(next, prev);
            }
        }
        self.len -= 1;
        self.granted -= u32::from(granted);
    }

    /// Takes a node without a verdict out, at its owner's wish. From here on it is not in the list,
    /// whatever becomes of its owner: wakers, which are woken next, are code of others.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn let_go(&mut self, node: *const Node<F>) {
        // SAFETY: as the caller promises.
        unsafe { self.remove(node) };
        // SAFETY: the owner, who calls, keeps it. Relaxed: the owner alone reads it.
        unsafe {
            (*node)
                .verdict
                .store(Verdict::Left.pack(), Ordering::Relaxed)
        };
    }

    /// Lets `to` follow `prev`, or be the first.
    ///
    /// # Safety
    ///
    /// `prev` is null or in this list.
    unsafe fn set_next(&mut self, prev: *const Node<F>, to: *const Node<F>) {
        // SAFETY: as the caller promises.
        match unsafe { prev.as_ref() } {
            // SAFETY: in the list, under the mutex.
            Some(prev) => unsafe { prev.at(|place| place.next = to) },
            None => self.head = to,
        }
    }

    /// Lets `to` precede `next`, or be the last.
    ///
    /// # Safety
    ///
    /// `next` is null or in this list.
    unsafe fn set_prev(&mut self, next: *const Node<F>, to: *const Node<F>) {
        // SAFETY: as the caller promises.
        match unsafe { next.as_ref() } {
            // SAFETY: in the list, under the mutex.
            Some(next) => unsafe { next.at(|place| place.prev = to) },
            None => self.tail = to,
        }
    }

    /// The node at the front is polled again: it leaves a new waker and takes note of its grant.
    /// Returns the old waker, to be dropped outside the lock.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn renew(&mut self, node: *const Node<F>, waker: Waker) -> Option<Waker> {
        // SAFETY: a node in the list is alive, and ours under the mutex.
        let (granted, old) = unsafe {
            let granted = (*node).marked(|marks| std::mem::take(&mut marks.granted));
            (granted, (*node).at(|place| place.waker.replace(waker)))
        };
        self.granted -= u32::from(granted);
        old
    }

    /// Gives the first its verdict: the last touch of its node.
    fn judge_head(&mut self, verdict: Verdict, failure: Option<Box<F>>, wakes: &mut Wakes) -> bool {
        let node = self.head;
        if node.is_null() {
            return false;
        }
        // SAFETY: the head is in the list; out of it and without a verdict it is still ours.
        unsafe {
            self.remove(node);
            (*node).at(|place| {
                place.failure = failure;
                wakes.push(place.waker.take());
            });
        }
        // SAFETY: alive until it has its verdict. Release: pairs with the Acquire in
        // `Node::verdict`. From here on the node is its owner's.
        unsafe { (*node).verdict.store(verdict.pack(), Ordering::Release) };
        true
    }

    /// Hands a connection to the first in line.
    pub(super) fn serve_head(&mut self, id: SlotId, wakes: &mut Wakes) -> bool {
        self.judge_head(Verdict::Served(id), None, wakes)
    }

    pub(super) fn fail_head(&mut self, failure: &F, wakes: &mut Wakes) {
        if !self.head.is_null() {
            self.judge_head(Verdict::Failed, Some(Box::new(failure.clone())), wakes);
        }
    }

    pub(super) fn fail_all(&mut self, failure: &F, wakes: &mut Wakes) {
        while !self.head.is_null() {
            self.fail_head(failure, wakes);
        }
    }

    pub(super) fn close(&mut self, wakes: &mut Wakes) {
        while self.judge_head(Verdict::Closed, None, wakes) {}
    }

    /// Evicts the waiters at the front whose time is over, so that they are never served.
    pub(super) fn expire(&mut self, now: Tick, wakes: &mut Wakes) {
        while self
            .head_times()
            .is_some_and(|(_, deadline)| deadline <= now)
        {
            self.judge_head(Verdict::Expired, None, wakes);
        }
    }

    /// Since when the first in line waits, and until when.
    pub(super) fn head_times(&self) -> Option<(Tick, Tick)> {
        // SAFETY: the head, if there is one, is in the list.
        let head = unsafe { self.head.as_ref() }?;
        // SAFETY: as above; under the mutex.
        Some(unsafe { head.at(|place| (place.since, place.deadline)) })
    }

    /// Tells the first in line that something is idle. `false`: there is none.
    pub(super) fn nudge_head(&mut self, wakes: &mut Wakes) -> bool {
        // SAFETY: as in `head_times`.
        let Some(head) = (unsafe { self.head.as_ref() }) else {
            return false;
        };
        // SAFETY: as in `head_times`.
        wakes.push(unsafe { head.at(|place| place.waker.take()) });
        true
    }

    /// Has everybody polled who was not yet, for that reason.
    pub(super) fn rouse(&mut self, wakes: &mut Wakes) {
        let mut node = self.head;
        // SAFETY: reached from the head by links: in the list.
        while let Some(waiter) = unsafe { node.as_ref() } {
            // SAFETY: as above; under the mutex.
            unsafe {
                let new = waiter.marked(|marks| !std::mem::replace(&mut marks.roused, true));
                waiter.at(|place| {
                    node = place.next;
                    wakes.push(place.waker.take_if(|_| new));
                });
            }
        }
    }

    /// How many dials may be begun: one for each waiter, at most `max_connecting` at once.
    fn wanted(&self) -> u32 {
        let asked = self.len.saturating_add(self.spare);
        if self.is_paused() {
            0
        } else {
            asked.min(self.max_connecting).saturating_sub(self.pending)
        }
    }

    /// Whether one more dial is wanted.
    pub(super) fn is_wanting(&self) -> bool {
        self.wanted() > 0
    }

    /// Takes a permit for one more dial, if one is wanted.
    pub(super) fn claim(&mut self, take: impl FnOnce() -> bool) -> bool {
        let claimed = self.wanted() > 0 && take();
        self.pending += u32::from(claimed);
        claimed
    }

    /// Takes a permit for a dial that nobody in line asked for, up to `most` of them at once. A dial
    /// whose waiter was served by another one is as good.
    pub(super) fn claim_spare(&mut self, take: impl FnOnce() -> bool, most: u32) -> bool {
        let to_idle = self.pending.saturating_sub(self.len).max(self.spare);
        let room = !self.is_paused() && to_idle < most && self.pending < self.max_connecting;
        let claimed = room && take();
        self.pending += u32::from(claimed);
        self.spare += u32::from(claimed);
        claimed
    }

    /// Tells waiters that permits are free: each polls and claims one.
    pub(super) fn grant(&mut self, free: u32, wakes: &mut Wakes) {
        let mut due = self.wanted().min(free).saturating_sub(self.granted);
        let mut node = self.head;
        // SAFETY: reached from the head by links: in the list.
        while let (true, Some(waiter)) = (due > 0, unsafe { node.as_ref() }) {
            // SAFETY: as above; under the mutex.
            let new = unsafe {
                let new = waiter.marked(|marks| !std::mem::replace(&mut marks.granted, true));
                waiter.at(|place| {
                    node = place.next;
                    wakes.push(place.waker.take_if(|_| new));
                });
                new
            };
            self.granted += u32::from(new);
            due -= u32::from(new);
        }
    }

    /// Whether fewer wait than dials are under way for them.
    pub(super) fn is_surplus(&self) -> bool {
        self.len < self.pending - self.spare
    }

    pub(super) fn finish_dial(&mut self, spare: bool) {
        self.pending -= 1;
        self.spare -= u32::from(spare);
    }

    /// No dial is begun until [`resume_dials`](Self::resume_dials), which is due at `until`. Tells
    /// whether this call did it.
    pub(super) fn pause_dials(&mut self, until: Tick) -> bool {
        let first = self.paused.is_none();
        self.paused = self.paused.or(Some(until));
        first
    }

    pub(super) fn resume_dials(&mut self) {
        self.paused = None;
    }

    /// Ends a pause that is long over: whoever was to end it does not run.
    pub(super) fn resume_overdue(&mut self, now: Tick) -> bool {
        self.paused.take_if(|until| *until < now).is_some()
    }
}
