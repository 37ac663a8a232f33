//! Waiting in line, as a future.
//!
//! Promise: dropped at any time, it leaves the line and passes on what it was handed or granted.
//! Cost: no allocation but the box of a failure; the node lives in the future and is built when the wait begins.

use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::body::Body;
use super::host::Host;
use super::lease::Lease;
use super::waiters::{Node, Verdict};
use crate::sync::{Arc, Ordering, UnsafeCell, fence};
use crate::time::Tick;

/// Why a wait ended without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError<F> {
    Closed,
    Expired,
    /// As many wait as may.
    Full,
    Failed(F),
}

pub(crate) struct Wait<'a, T, H: Host<T>> {
    body: &'a Arc<Body<T, H>>,
    since: Tick,
    deadline: Tick,
    /// It was in line before, and got nothing of use.
    in_front: bool,
    node: UnsafeCell<MaybeUninit<Node<H::Failure>>>,
    /// Whether `node` is initialised and may be in the list.
    enlisted: bool,
    _pinned: PhantomPinned,
}

// SAFETY: the node is shared with other threads under the list's mutex only, and holds what is
// `Send`; the body is `Sync`.
unsafe impl<T: Send, H: Host<T>> Send for Wait<'_, T, H> {}
// SAFETY: nothing can be done with a shared `Wait`.
unsafe impl<T: Send, H: Host<T>> Sync for Wait<'_, T, H> {}

type Outcome<T, H> = Result<Lease<T, H>, WaitError<<H as Host<T>>::Failure>>;

impl<'a, T, H: Host<T>> Wait<'a, T, H> {
    /// A wait that begins when it is first polled: at the end of the line, or in front if the
    /// caller was served before and got nothing of use.
    pub(crate) fn new(
        body: &'a Arc<Body<T, H>>,
        since: Tick,
        deadline: Tick,
        in_front: bool,
    ) -> Self {
        Self {
            body,
            since,
            deadline,
            in_front,
            node: UnsafeCell::new(MaybeUninit::uninit()),
            enlisted: false,
            _pinned: PhantomPinned,
        }
    }

    fn node(&self) -> *mut Node<H::Failure> {
        self.node.with_mut(|cell| cell.cast())
    }

    fn verdict(&self) -> Verdict {
        // SAFETY: called while `enlisted`, so the node is initialised; `verdict` is an atomic.
        unsafe { (*self.node()).verdict() }
    }

    /// Goes to the end of the line. The caller looks again at all that was empty before.
    fn enlist(&mut self, context: &mut Context<'_>) -> Result<(), WaitError<H::Failure>> {
        let node = Node::new(context.waker().clone(), self.since, self.deadline);
        // SAFETY: not enlisted, so the node is ours alone.
        unsafe { self.node().write(node) };
        let (entered, wakes) = self.body.line(|list, _| {
            // Under the mutex: a closer sets the gate first and then empties the line.
            if self.body.is_closed() {
                return Err(WaitError::Closed);
            }
            // Those for whom a dial is under way do not wait for others.
            // Who was first before is in line still, in its own right.
            let full = list.len().saturating_sub(list.pending()) >= list.max_waiters;
            if full && !self.in_front {
                return Err(WaitError::Full);
            }
            // SAFETY: pinned, as `poll` has it; `drop` removes it.
            unsafe { list.push(self.node(), self.in_front) };
            Ok(())
        });
        drop(wakes);
        // The drop frees the node in either case.
        self.enlisted = true;
        entered?;
        // SeqCst: between the raised gate and the second look; pairs with the fence after each
        // publication (idle set, capacity). Either the putter sees the gate or we see the put.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Polled again in line: leaves the new waker and looks again, unless a verdict came.
    fn renew(&self, context: &mut Context<'_>) {
        let mut waker = Some(context.waker().clone());
        let (renewed, wakes) = self.body.line(|list, _| {
            let new = waker.take_if(|_| self.verdict() == Verdict::Waiting)?;
            // SAFETY: without a verdict it is in the list.
            Some(unsafe { list.renew(self.node(), new) })
        });
        drop(wakes);
        // The old waker, or the unused one, is dropped here, outside the lock.
        drop(waker);
        if renewed.is_some() {
            // SeqCst: as in `enlist`, for a put between the last look and the new waker.
            fence(Ordering::SeqCst);
        }
    }

    /// Where newcomers may overtake, so may this one: takes what is idle. Where not, what is idle
    /// goes to the first in line, which may be this one.
    fn overtake(&self) -> Option<Lease<T, H>> {
        if !self.body.may_overtake() {
            self.body.settle();
            return None;
        }
        let lease = self.body.take_idle()?;
        // Served meanwhile: keep that one, and put this one back.
        if self.leave() {
            return Some(lease);
        }
        lease.put();
        None
    }

    /// Leaves the line. `false`: a verdict came first.
    fn leave(&self) -> bool {
        let (left, wakes) = self.body.line(|list, wakes| {
            let waiting = self.verdict() == Verdict::Waiting;
            if waiting {
                // SAFETY: without a verdict it is in the list.
                unsafe { list.let_go(self.node()) };
                list.grant(self.body.free_permits(), wakes);
            }
            waiting
        });
        drop(wakes);
        left
    }

    /// Starts dials, as far as wanted and allowed.
    fn dial(&self) -> Result<(), H::Failure> {
        while let Some(ticket) = Body::claim(self.body) {
            H::dial(ticket)?;
        }
        Ok(())
    }

    /// Ends the wait: the node is done with.
    fn finish(&mut self) {
        self.enlisted = false;
        // SAFETY: initialised, and in no list any more: ours alone.
        unsafe { self.node().drop_in_place() };
        self.body.after_wait();
    }

    /// Why it failed, after that verdict. Apart, so that what is served stays short.
    #[cold]
    #[inline(never)]
    fn failed(&self) -> WaitError<H::Failure> {
        // SAFETY: after a verdict the node is ours alone.
        match unsafe { (*self.node()).take_failure() } {
            Some(failure) => WaitError::Failed(failure),
            None => WaitError::Expired,
        }
    }

    fn collect(&mut self) -> Option<Outcome<T, H>> {
        let outcome = match self.verdict() {
            Verdict::Waiting | Verdict::Left => return None,
            Verdict::Closed => Err(WaitError::Closed),
            Verdict::Expired => Err(WaitError::Expired),
            Verdict::Failed => Err(self.failed()),
            Verdict::Served(id) => Ok(self.body.lease(id)),
        };
        self.finish();
        Some(outcome)
    }

    fn step(&mut self, context: &mut Context<'_>) -> Poll<Outcome<T, H>> {
        if self.enlisted {
            // A verdict is seen without the lock.
            if let Some(outcome) = self.collect() {
                return Poll::Ready(outcome);
            }
            self.renew(context);
        } else if let Err(refused) = self.enlist(context) {
            self.finish();
            return Poll::Ready(Err(refused));
        }
        if let Some(outcome) = self.collect() {
            return Poll::Ready(outcome);
        }
        if let Some(lease) = self.overtake() {
            self.finish();
            return Poll::Ready(Ok(lease));
        }
        if let Err(failure) = self.dial()
            && self.leave()
        {
            self.finish();
            return Poll::Ready(Err(WaitError::Failed(failure)));
        }
        // A dial may have failed or been served within the call.
        self.collect().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T, H: Host<T>> Future for Wait<'_, T, H> {
    type Output = Outcome<T, H>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out; the node stays where it is.
        let this = unsafe { self.get_unchecked_mut() };
        this.step(context)
    }
}

impl<T, H: Host<T>> Drop for Wait<'_, T, H> {
    fn drop(&mut self) {
        if !self.enlisted {
            return;
        }
        if !self.leave()
            && let Some(Ok(lease)) = self.collect()
        {
            // Handed over, never seen by the caller: put, not returned.
            lease.put();
        }
        if self.enlisted {
            self.finish();
        }
    }
}
