//! A lease: one connection, held by one owner. Its drop puts the connection back.
//!
//! Promise: pointer-sized; the holder alone touches the connection. Cost of a drop while nobody
//! needs anything: one locked instruction, no lock, no allocation, no clock.

use std::ptr::NonNull;

use super::body::Body;
use super::hazard::Record;
use super::host::Host;
use super::permit::Permit;
use super::slot::{Slot, SlotId};
use crate::sync::{Arc, known_thread_index};
use crate::time::Tick;

pub(crate) struct Lease<T, H: Host<T>>(NonNull<Slot<T, H>>);

// SAFETY: a lease is the only access to its connection, like a `Box<T>`; the body is `Sync`.
unsafe impl<T: Send, H: Host<T>> Send for Lease<T, H> {}
// SAFETY: a shared lease gives `&T` and loads of atomics.
unsafe impl<T: Sync, H: Host<T>> Sync for Lease<T, H> {}

impl<T, H: Host<T>> Lease<T, H> {
    /// # Safety
    ///
    /// The caller took this slot's id: nobody else has its lease.
    #[inline(always)]
    pub(super) unsafe fn of(slot: &Slot<T, H>) -> Self {
        Self(NonNull::from(slot))
    }

    /// Gives the lease up without putting the connection anywhere.
    pub(super) fn into_id(self) -> SlotId {
        let id = self.slot().id();
        std::mem::forget(self);
        id
    }

    #[inline(always)]
    pub(super) fn slot(&self) -> &Slot<T, H> {
        // SAFETY: the slot is in the slab of the body, which the slot keeps alive while leased.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn value(&self) -> &T {
        // SAFETY: this is the slot's lease.
        unsafe { self.slot().value() }
    }

    #[inline(always)]
    pub(crate) fn value_mut(&mut self) -> &mut T {
        // SAFETY: this is the slot's lease, borrowed mutably.
        unsafe { self.slot().value_mut() }
    }

    #[inline(always)]
    pub(crate) fn body(&self) -> &Arc<Body<T, H>> {
        // SAFETY: this is the slot's lease.
        unsafe { self.slot().owner() }
    }

    #[inline(always)]
    pub(crate) fn is_doomed(&self) -> bool {
        self.slot().is_doomed()
    }

    /// Lets the connection be retired when it is put back.
    pub(crate) fn doom(&self) {
        self.slot().doom(self.slot().tenancy());
    }

    /// Whether the floor above took a note of this lease.
    pub(crate) fn is_noted(&self) -> bool {
        self.slot().is_noted()
    }

    /// Marks the lease as noted: its return, and whoever looks from outside, sees that.
    pub(crate) fn note(&self, noted: bool) {
        self.slot().note(noted);
    }

    /// The number of its slot.
    pub(crate) fn number(&self) -> u32 {
        self.slot().id().number()
    }

    /// Counts a take.
    #[inline(always)]
    pub(crate) fn count_use(&self) {
        self.set_uses(self.next_use());
    }

    /// The number of the take that is not counted yet.
    #[inline(always)]
    pub(crate) fn next_use(&self) -> u64 {
        self.slot().uses().wrapping_add(1)
    }

    /// Counts the take of this number.
    #[inline(always)]
    pub(crate) fn set_uses(&self, uses: u64) {
        self.slot().set_uses(uses);
    }

    pub(crate) fn uses(&self) -> u64 {
        self.slot().uses()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.slot().generation()
    }

    pub(crate) fn created(&self) -> Tick {
        self.slot().created()
    }

    /// Since when the connection is idle, or leased.
    #[inline(always)]
    pub(crate) fn since(&self) -> Tick {
        self.slot().since()
    }

    #[inline(always)]
    pub(crate) fn stamp(&self, now: Tick) {
        self.slot().stamp(now);
    }

    /// The lease ends: stamps the connection, and tells for how long it was held where a tick saw it.
    pub(crate) fn end(&self, now: Tick) {
        let since = self.since();
        if since != now {
            self.body().host().held(since, now);
            self.stamp(now);
        }
    }

    /// Puts the connection back: to the first in line, else into the idle set.
    pub(crate) fn put(self) {
        let slot = self.0;
        std::mem::forget(self);
        // SAFETY: the lease was given up right here.
        unsafe { Body::put(slot) };
    }

    /// Takes the connection out of a pool that is another process's, of which nothing else is touched.
    #[cfg(not(plunge_loom))]
    pub(crate) fn desert(self) -> T {
        let slot = self.0;
        std::mem::forget(self);
        // SAFETY: the lease was given up right here; the slot is alive, for its owner is kept.
        let (value, owner) = unsafe { slot.as_ref().vacate() };
        std::mem::forget(owner);
        value
    }

    /// Takes the connection out of the pool. The permit is still owed.
    pub(crate) fn retire(self) -> (T, Permit<T, H>) {
        let slot = self.0;
        std::mem::forget(self);
        // SAFETY: the lease was given up right here; the slot is alive until `owner` is dropped.
        let (value, owner) = unsafe { slot.as_ref().vacate() };
        let Some(owner) = owner else {
            unreachable!("a leased slot has an owner")
        };
        // SAFETY: the slot is in the slab of `owner`.
        owner.free.push(unsafe { slot.as_ref() }.id());
        if let Some(commons) = &owner.commons {
            commons.left(&owner);
        }
        (value, Permit::adopt(owner))
    }
}

impl<T, H: Host<T>> Lease<T, H> {
    /// Whether the connection may go back, by the lease, the gate and the tick: without a question to the host.
    #[inline(always)]
    fn is_untroubled(&self, tick: Tick) -> bool {
        self.body().gate.peek().is_quiet()
            && tick != Tick::NEVER
            && !self.slot().is_marked()
            && (!H::TELLS_HOLDS || self.since() == tick)
    }

    #[inline(always)]
    fn end_untroubled(&self, tick: Tick) {
        if !H::TELLS_HOLDS {
            self.stamp(tick);
        }
    }

    /// Asks whether the connection may go back, or for an index of this thread.
    #[inline(never)]
    fn drop_asking(lease: Self, tick: Tick) {
        if !lease.body().host().keeps(lease.value()) {
            return H::returned(lease);
        }
        lease.end_untroubled(tick);
        lease.put();
    }
}

impl<T, H: Host<T>> Drop for Lease<T, H> {
    /// What is not the usual case is the tail of this: so the usual case saves no registers for it.
    #[inline(always)]
    fn drop(&mut self) {
        // For the lease that is dropped, as a value; `self` is not looked at after such a call.
        let slot = self.0;
        // First, while nothing is at hand that its call, made after any panic, would have to save.
        if std::thread::panicking() {
            return H::returned(Self(slot));
        }
        let body = self.body();
        let tick = body.tick.load();
        if !self.is_untroubled(tick) {
            return H::returned(Self(slot));
        }
        if body.host().keeps_all()
            && let Some(thread) = known_thread_index()
            && let Some(record) = Record::of(thread)
        {
            self.end_untroubled(tick);
            let hazard = record.protect(Arc::as_ptr(body).cast());
            // SAFETY: the lease ends here, and the body is protected by `hazard`.
            return unsafe {
                Body::publish_near(Arc::as_ptr(body), self.slot().id(), thread, hazard)
            };
        }
        Self::drop_asking(Self(slot), tick);
    }
}
