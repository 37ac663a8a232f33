//! Control: what changes a pool as a whole. Closing, suspending, limits, generations, and the looks
//! that maintenance takes at what is idle.
//!
//! Promise: nothing is opened past a close or a limit; nobody is stranded by a change.
//! Cost: off the hit path, all of it.

use super::body::{Body, patience};
use super::gate::GateWord;
use super::host::{Fairness, Host};
use super::lease::Lease;
use super::slot::{Slot, SlotId, Tenancy};
use super::wakes::Wakes;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{fence, fence_after_rmw};
use crate::time::{LAG, Tick};

impl<T, H: Host<T>> Body<T, H> {
    /// From now on nothing is handed out or opened; waiters are told. Tells whether it was open. The
    /// wakes are dropped when all else is done: wakers are code of others, and may panic.
    pub(crate) fn shut(&self) -> (bool, Wakes) {
        self.capacity.close();
        let before = self.gate.set(GateWord::CLOSED);
        let ((), wakes) = self.line(|list, wakes| list.close(wakes));
        // SeqCst: between the closed gate and the closer's look at the idle set; a putter that did
        // not see the gate is seen by `take_idle`, and one that did takes its own back.
        fence(SeqCst);
        (!before.has(GateWord::CLOSED), wakes)
    }

    /// Closes a pool that has nothing open and nobody in line. Tells whether it is closed now; who
    /// comes meanwhile finds it closed.
    #[cfg(any(plunge_loom, feature = "keyed"))]
    pub(crate) fn shut_if_unused(&self) -> bool {
        let unused = !self.gate.peek().has(GateWord::LINE) && self.capacity.close_if_empty();
        if unused {
            drop(self.shut());
        }
        unused
    }

    /// When a connection of this pool was last taken or put.
    pub(super) fn last_use(&self) -> Option<Tick> {
        self.tenants().map(|tenant| tenant.since()).max()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.peek().has(GateWord::CLOSED)
    }

    /// Nothing is handed out or opened until `resume`; what comes back is kept.
    pub(crate) fn suspend(&self) {
        self.gate.set(GateWord::SUSPENDED);
        // Others retire nothing for a line that would not be served.
        if let Some(commons) = &self.commons {
            commons.forget_now(self);
        }
        self.settle_promise();
    }

    /// Ends a suspension: a put of all that is idle, and of all free permits.
    pub(crate) fn resume(&self) {
        self.gate.clear(GateWord::SUSPENDED);
        // SeqCst: between the gate and the looks at what is idle and at the line; pairs with the
        // fences of a publication and of `Wait::enlist`.
        fence_after_rmw();
        let mut wakes = Wakes::default();
        self.settle_into(&mut wakes);
        self.grant(&mut wakes);
        // Last: wakers are code of others, and may panic.
        drop(wakes);
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.gate.peek().has(GateWord::SUSPENDED)
    }

    /// Changes how many may be open. A raised limit is a put; above a lowered one, connections are
    /// retired as they come back. Whoever got something is woken as the result is dropped.
    pub(crate) fn set_limit(&self, limit: u32) -> Wakes {
        self.capacity.set_limit(limit.min(self.ceiling()));
        // SeqCst: between the limit and the look at the line; pairs with the fence in `Wait::enlist`,
        // after which a waiter reads the capacity.
        fence_after_rmw();
        self.refresh_inspect();
        let mut wakes = Wakes::default();
        self.grant(&mut wakes);
        wakes
    }

    /// The highest limit that can be set.
    pub(crate) fn ceiling(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Changes who is served first, and how many may wait and be dialled. Wakes as `set_limit` does; the caller has
    /// what is idle [settled](Self::settle) after it.
    pub(crate) fn set_line(
        &self,
        max_connecting: u32,
        max_waiters: u32,
        fairness: Fairness,
    ) -> Wakes {
        // Relaxed: a setting on its own; the line below applies it to those who wait.
        self.patience.store(patience(fairness), Relaxed);
        let ((), wakes) = self.line(|list, wakes| {
            list.max_connecting = max_connecting;
            list.max_waiters = max_waiters;
            list.grant(self.free_permits(), wakes);
        });
        wakes
    }

    /// Sets `inspect` while more are open than may be, clears it after.
    pub(super) fn refresh_inspect(&self) {
        loop {
            let over = self.is_over_limit();
            if over == self.gate.peek().has(GateWord::INSPECT) {
                return;
            }
            // SeqCst: ordered before the next look at the capacity; two callers that disagree go
            // round until the gate says what the word says.
            if over {
                self.gate.set(GateWord::INSPECT)
            } else {
                self.gate.clear(GateWord::INSPECT)
            };
            fence_after_rmw();
        }
    }

    /// Whether more are open than the limit allows now.
    pub(crate) fn is_over_limit(&self) -> bool {
        let capacity = self.capacity.peek();
        capacity.open() > capacity.limit()
    }
}

/// Looks at connections from outside.
impl<T, H: Host<T>> Body<T, H> {
    /// What lives in each slot: for maintenance. A view may be outdated at once.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = Tenant<'_, T, H>> {
        self.tenants_from(0, usize::MAX)
    }

    /// What lives in `count` slots from the one with this number on.
    pub(crate) fn tenants_from(
        &self,
        first: usize,
        count: usize,
    ) -> impl Iterator<Item = Tenant<'_, T, H>> {
        let slots = self.slots.iter().skip(first).take(count);
        slots.filter_map(|slot| {
            let (tenancy, noted) = slot.tenant()?;
            Some(Tenant {
                slot,
                tenancy,
                noted,
            })
        })
    }

    /// Shows up to `batch` idle connections to `look`, those idle longest first, and puts back
    /// what it returns. `left` counts down to the end of a pass.
    pub(crate) fn sweep(
        &self,
        left: &mut u32,
        batch: u32,
        mut look: impl FnMut(Lease<T, H>) -> Option<Lease<T, H>>,
    ) {
        for _ in 0..batch.min(*left) {
            // Others took some meanwhile: the pass is over.
            let Some(id) = self.idle.take_shared() else {
                *left = 0;
                break;
            };
            *left -= 1;
            self.put_aside(look(self.lease(id)));
        }
        if *left == 0 {
            self.idle.restore();
            self.settle();
        }
    }

    /// How many connections a pass of `sweep` meets.
    pub(crate) fn shared_count(&self) -> u32 {
        self.idle.shared_len()
    }

    /// Shows what lies in hot places, doomed or not used since `now`, to `look`.
    pub(crate) fn sweep_hot(
        &self,
        now: Tick,
        mut look: impl FnMut(Lease<T, H>) -> Option<Lease<T, H>>,
    ) {
        let is_cold = |id: SlotId| {
            let slot = &self.slots[id.index()];
            slot.is_doomed() || now.since(slot.since()).as_millis() > LAG.as_millis()
        };
        for id in self.idle.take_cold(is_cold) {
            self.put_aside(look(self.lease(id)));
        }
    }

    /// Shows every idle connection to `look`, one at a time, and puts back what it returns.
    pub(crate) fn sweep_all(&self, mut look: impl FnMut(Lease<T, H>) -> Option<Lease<T, H>>) {
        // Before those in hot places are put where the rest lies.
        let mut left = self.shared_count();
        for id in self.idle.take_cold(|_| true) {
            self.put_aside(look(self.lease(id)));
        }
        while left > 0 {
            self.sweep(&mut left, u32::MAX, &mut look);
        }
    }

    /// Puts a connection back as it was: into the shared part, its stamp unchanged.
    fn put_aside(&self, lease: Option<Lease<T, H>>) {
        if let Some(lease) = lease {
            self.idle.put_aside(lease.into_id());
            self.settle();
        }
    }

    /// Starts a new generation: connections of older ones are retired as they are taken or put, and none that was
    /// opened for a newer one, which somebody else may have started meanwhile.
    pub(crate) fn evict_all(&self) -> u32 {
        // SeqCst: ordered before the look at the slots; see `install`.
        let generation = self.generation.fetch_add(1, SeqCst).wrapping_add(1);
        fence(SeqCst);
        self.tenants()
            .filter(|tenant| is_older(tenant.slot.generation(), generation))
            .for_each(|tenant| _ = tenant.doom());
        generation
    }
}

/// Whether one generation began before another, less than half of them ago.
fn is_older(one: u32, than: u32) -> bool {
    than.wrapping_sub(one).cast_signed() > 0
}

/// A connection as it is seen by whoever does not hold it.
pub(crate) struct Tenant<'a, T, H: Host<T>> {
    slot: &'a Slot<T, H>,
    tenancy: Tenancy,
    noted: bool,
}

impl<T, H: Host<T>> Tenant<'_, T, H> {
    /// Marks it to be retired by its next taker, if it still lives there; `true`: it was not marked before.
    pub(crate) fn doom(&self) -> bool {
        self.slot.doom(self.tenancy)
    }

    /// Whether it was leased, and a note taken of that, when the view was.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted
    }

    pub(crate) fn created(&self) -> Tick {
        self.slot.created()
    }

    /// Since when it is idle, or leased.
    pub(crate) fn since(&self) -> Tick {
        self.slot.since()
    }

    pub(crate) fn uses(&self) -> u64 {
        self.slot.uses()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.slot.generation()
    }

    /// The number of its slot.
    pub(crate) fn number(&self) -> u32 {
        self.slot.id().number()
    }
}
