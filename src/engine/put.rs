//! Putting: what happens to a connection that nobody holds any more.
//!
//! These functions run after the connection was given up, when another thread may retire it and
//! drop the body: so they take pointers, and a guard that keeps the memory.
//!
//! Promise: a connection put goes to the first in line or into the idle set, and whoever did not
//! see it there is seen to. Cost: one locked instruction and two loads while nobody waits.

use std::ptr::NonNull;

use super::body::Body;
use super::gate::GateWord;
use super::hazard::{Hazard, Record};
use super::host::Host;
use super::lease::Lease;
use super::slot::{Slot, SlotId};
use super::wakes::Wakes;
use crate::sync::{Arc, thread_index};

impl<T, H: Host<T>> Body<T, H> {
    /// Puts a connection: to the first in line, else into the idle set.
    ///
    /// # Safety
    ///
    /// The caller had this slot's lease and gave it up.
    pub(super) unsafe fn put(slot: NonNull<Slot<T, H>>) {
        // SAFETY: still ours: the slot is leased, so it keeps the body alive.
        let (owner, id) = unsafe { (slot.as_ref().owner(), slot.as_ref().id()) };
        let (body, thread) = (Arc::as_ptr(owner), thread_index());
        match thread.and_then(Record::of) {
            Some(record) => {
                let hazard = record.protect(body.cast());
                // SAFETY: `hazard` keeps the body.
                unsafe { Self::put_kept(body, id, thread, hazard) }
            }
            None => {
                let reference = Arc::clone(owner);
                // SAFETY: `reference` keeps the body.
                unsafe { Self::put_kept(body, id, thread, reference) }
            }
        }
    }

    unsafe fn put_kept<G>(body: *const Self, id: SlotId, thread: Option<usize>, guard: G) {
        // SAFETY: kept by `guard` up to its drop below.
        let this = unsafe { &*body };
        let gate = this.gate.peek();
        if !gate.has(GateWord::LINE) || gate.has(GateWord::SUSPENDED) || !this.hands_over(gate) {
            // SAFETY: as above.
            return unsafe { Self::publish(body, id, thread, guard) };
        }
        if gate.has(GateWord::KEYED) && this.owes_others() {
            // A lease keeps the body by its slot; the guard has to go before user code runs.
            let lease = this.lease(id);
            drop(guard);
            return H::evicted(lease);
        }
        // The wakers run user code, so they outlive the guard in both ways out.
        let (handed, wakes) = this.hand_off(id);
        if handed {
            drop(guard);
        } else {
            // SAFETY: as above.
            unsafe { Self::publish(body, id, thread, guard) };
        }
        drop(wakes);
    }

    /// [`publish`](Self::publish) where the place of this thread is likely to be free.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(super) unsafe fn publish_near(body: *const Self, id: SlotId, thread: usize, guard: Hazard) {
        // SAFETY: kept by `guard`.
        let this = unsafe { &*body };
        if !this.idle.put_near(id, thread) {
            // SAFETY: as above.
            return unsafe { Self::publish_far(body, id, guard) };
        }
        if this.gate.after_publish().is_silent() {
            return drop(guard);
        }
        // SAFETY: as above.
        unsafe { Self::see_to_others(body, guard) }
    }

    /// [`publish_near`](Self::publish_near) where that place is taken.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(never)]
    unsafe fn publish_far(body: *const Self, id: SlotId, guard: Hazard) {
        // SAFETY: kept by `guard`.
        let this = unsafe { &*body };
        this.idle.put_far(id);
        // SAFETY: as above.
        unsafe { Self::see_to_others(body, guard) }
    }

    /// Puts an id into the idle set and sees to whoever did not see it there.
    ///
    /// # Safety
    ///
    /// `guard` keeps the body in memory; the id is the caller's, and is given up.
    unsafe fn publish<G>(body: *const Self, id: SlotId, thread: Option<usize>, guard: G) {
        // SAFETY: kept by `guard`.
        let this = unsafe { &*body };
        this.idle.put(id, thread);
        // SAFETY: as above.
        unsafe { Self::see_to_others(body, guard) }
    }

    /// Sees to whoever did not see what was just put into the idle set.
    ///
    /// # Safety
    ///
    /// `guard` keeps the body in memory.
    #[inline]
    unsafe fn see_to_others<G>(body: *const Self, guard: G) {
        // SAFETY: kept by `guard`.
        let this = unsafe { &*body };
        let gate = this.gate.after_publish();
        if gate.is_silent() || (gate.is_quiet() && !this.is_pressed(gate)) {
            return drop(guard);
        }
        // SAFETY: as above.
        unsafe { Self::settle_kept(body, guard) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn settle_kept<G>(body: *const Self, guard: G) {
        // SAFETY: kept by `guard` up to its drop below.
        let this = unsafe { &*body };
        let lease = if this.is_unsettled() {
            this.take_idle()
        } else {
            None
        };
        // A lease keeps the body by its slot; a reference of our own outlives the lease.
        let kept = lease.map(|lease| (Arc::clone(lease.body()), lease));
        drop(guard);
        if let Some((reference, lease)) = kept {
            let mut wakes = Wakes::default();
            reference.settle_with(lease, &mut wakes);
            drop(reference);
            drop(wakes);
        }
    }

    /// Whether an idle connection would be of use to somebody.
    fn is_unsettled(&self) -> bool {
        let gate = self.gate.after_publish();
        gate.has(GateWord::CLOSED) || gate.is_served() || self.is_pressed(gate)
    }

    /// Whether another pool may miss a permit.
    #[inline]
    fn is_pressed(&self, gate: GateWord) -> bool {
        let commons = self.commons.as_ref();
        gate.has(GateWord::KEYED) && commons.is_some_and(|commons| commons.is_pressed())
    }

    /// Whether somebody in another pool waits for longer than anybody in this line, for a permit.
    fn owes_others(&self) -> bool {
        let Some(commons) = self.commons.as_ref().filter(|commons| commons.is_pressed()) else {
            return false;
        };
        let times = self.waiters.lock().head_times();
        times.is_some_and(|(since, _)| commons.claims_before(self, since))
    }

    /// Brings what is idle to whoever needs it, until one side is empty.
    pub(crate) fn settle(&self) {
        if self.is_unsettled() {
            self.settle_into(&mut Wakes::default());
        }
    }

    /// The same; whoever got something is woken by the caller, when all else is done.
    pub(super) fn settle_into(&self, wakes: &mut Wakes) {
        if self.is_unsettled()
            && let Some(lease) = self.take_idle()
        {
            self.settle_with(lease, wakes);
        }
    }

    fn settle_with(&self, mut lease: Lease<T, H>, wakes: &mut Wakes) {
        loop {
            let gate = self.gate.after_publish();
            let owed = || gate.is_served() && self.is_pressed(gate) && self.owes_others();
            if gate.has(GateWord::CLOSED) || owed() {
                H::evicted(lease);
            } else if !gate.is_served() {
                // Also where the gate is suspended: its line gets nothing, but others may.
                if !self.give_up_or_keep(lease) {
                    return;
                }
            } else if self.settle_one(lease.into_id(), gate, wakes) {
                return;
            }
            match self.is_unsettled().then(|| self.take_idle()).flatten() {
                Some(next) => lease = next,
                None => return,
            }
        }
    }

    /// Retires a connection for another pool that misses its permit, or puts it back. `false`:
    /// nothing idle is of use to anybody elsewhere.
    fn give_up_or_keep(&self, lease: Lease<T, H>) -> bool {
        let pressed = || self.commons.as_ref().filter(|commons| commons.is_pressed());
        if pressed().is_some_and(|commons| commons.claims_one()) {
            H::evicted(lease);
            return true;
        }
        self.idle.put(lease.into_id(), thread_index());
        // After the put: who began to wait or to starve meanwhile did not find it in the idle set.
        let gate = self.gate.after_publish();
        gate.has(GateWord::CLOSED)
            || gate.is_served()
            || pressed().is_some_and(|commons| commons.wants_more())
    }

    /// Hands one connection on. `true`: the rest is up to somebody else.
    fn settle_one(&self, id: SlotId, gate: GateWord, wakes: &mut Wakes) -> bool {
        if !self.hands_over(gate) {
            self.idle.put(id, thread_index());
            // Where newcomers may overtake, the first in line is told to try its luck.
            let (told, woken) = self.nudge();
            wakes.append(woken);
            return told;
        }
        let (handed, woken) = self.hand_off(id);
        if !handed {
            self.idle.put(id, thread_index());
        }
        wakes.append(woken);
        false
    }

    /// Whether a connection may only go to the first in line.
    pub(super) fn is_strict(&self, gate: GateWord) -> bool {
        gate.has(GateWord::STRICT) || !self.is_patient()
    }

    /// Whether a connection that comes back goes to the first in line. Also where it may be overtaken,
    /// while another pool misses a permit: that one waits until the first here was served, if that came
    /// before, and would wait for as long as it is overtaken.
    fn hands_over(&self, gate: GateWord) -> bool {
        self.is_strict(gate) || self.is_pressed(gate)
    }

    fn hand_off(&self, id: SlotId) -> (bool, Wakes) {
        self.line(|list, wakes| {
            list.expire(self.time_for(list), wakes);
            let handed = list.serve_head(id, wakes);
            list.grant(self.free_permits(), wakes);
            handed
        })
    }

    /// Wakes the first in line, or, if it waited too long, lets nobody overtake it any more. Tells
    /// whether somebody looks now: the line may have gone meanwhile, and others may want what is idle.
    fn nudge(&self) -> (bool, Wakes) {
        self.line(|list, wakes| {
            list.expire(self.time_for(list), wakes);
            !self.refresh_strict(list) && list.nudge_head(wakes)
        })
    }
}
