//! The body of a pool: the slots and every word that says who has them.
//!
//! Promise: a connection is in exactly one place; nobody sleeps in line while something is idle or
//! may be opened. Cost: a take is one locked instruction and a put another.

use std::ptr::NonNull;

use super::capacity::{Capacity, CapacityWord};
use super::commons::{Commons, standing};
#[cfg(all(unix, not(plunge_loom)))]
use super::fork::Mark;
use super::gate::{Gate, GateWord};
use super::hazard;
use super::host::{Fairness, Host};
use super::idle::{IdleOrder, IdleSet};
use super::lease::Lease;
use super::permit::Permit;
use super::slot::{Slot, SlotId};
use super::stack::Stack;
use super::waiters::WaitList;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{Arc, AtomicU32, AtomicU64, AtomicUsize, CachePadded, Mutex, fence};
use crate::time::{Tick, TickWord};

/// What a body is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Connections that may be open.
    pub(crate) limit: u32,
    /// The highest limit ever: how many slots there are.
    pub(crate) ceiling: u32,
    pub(crate) order: IdleOrder,
    /// Threads that are expected to use the pool.
    pub(crate) workers: usize,
    pub(crate) max_connecting: u32,
    pub(crate) max_waiters: u32,
    pub(crate) fairness: Fairness,
}

/// How long the line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) waiting: u32,
    /// Dials under way.
    pub(crate) connecting: u32,
    /// A failed dial keeps the next from being made.
    pub(crate) paused: bool,
}

pub(crate) struct Body<T, H: Host<T>> {
    /// Read at every take and put, written rarely.
    pub(super) gate: CachePadded<Gate>,
    pub(super) tick: TickWord,
    pub(super) idle: IdleSet,
    pub(super) slots: Box<[Slot<T, H>]>,
    pub(super) host: H,
    /// How long newcomers may overtake the first in line, in milliseconds.
    pub(super) patience: AtomicU64,
    pub(super) generation: AtomicU32,
    /// Ids of empty slots.
    pub(super) free: Stack,
    pub(super) capacity: CachePadded<Capacity>,
    pub(super) waiters: CachePadded<Mutex<WaitList<H::Failure>>>,
    /// The permits shared with other pools.
    pub(super) commons: Option<Arc<Commons<T, H>>>,
    /// What the commons have for this pool; written under their lock. See `commons::standing`.
    pub(super) standing: AtomicU32,
    /// Its place among the pools that have connections, plus one; written under their lock.
    pub(super) row: AtomicU32,
    /// Closes the gate where the process forks.
    #[cfg(all(unix, not(plunge_loom)))]
    pub(super) mark: Mark,
    /// User handles; counted apart from the references that slots and tasks have.
    pub(super) handles: CachePadded<AtomicUsize>,
}

// SAFETY: connections are reached through leases only, each by one thread at a time, so `T: Send`
// is enough; everything else is an atomic, behind a mutex, or fixed.
unsafe impl<T: Send, H: Host<T>> Sync for Body<T, H> {}
// SAFETY: as above.
unsafe impl<T: Send, H: Host<T>> Send for Body<T, H> {}

impl<T, H: Host<T>> Body<T, H> {
    /// A body; with commons, one that also takes a permit of theirs for each connection.
    pub(crate) fn new(settings: Settings, host: H, commons: Option<Arc<Commons<T, H>>>) -> Self {
        let slots = (0..settings.ceiling)
            .map(|id| Slot::empty(SlotId::new(id)))
            .collect();
        Self {
            gate: CachePadded::new(Gate::new(commons.is_some())),
            tick: TickWord::asleep(),
            idle: IdleSet::new(settings.order, settings.ceiling, settings.workers),
            slots,
            host,
            patience: AtomicU64::new(patience(settings.fairness)),
            generation: AtomicU32::new(0),
            free: Stack::full(settings.ceiling),
            capacity: CachePadded::new(Capacity::new(settings.limit)),
            waiters: CachePadded::new(Mutex::new(WaitList::new(
                settings.max_connecting,
                settings.max_waiters,
            ))),
            commons,
            standing: AtomicU32::new(standing::NONE),
            row: AtomicU32::new(0),
            #[cfg(all(unix, not(plunge_loom)))]
            mark: Mark::new(),
            handles: CachePadded::new(AtomicUsize::new(1)),
        }
    }

    #[inline(always)]
    pub(crate) fn host(&self) -> &H {
        &self.host
    }

    #[inline(always)]
    pub(crate) fn tick(&self) -> &TickWord {
        &self.tick
    }

    #[inline(always)]
    pub(crate) fn gate(&self) -> GateWord {
        self.gate.peek()
    }

    pub(crate) fn capacity(&self) -> CapacityWord {
        self.capacity.peek()
    }

    /// Takes a permit for one connection, here and in the commons.
    pub(super) fn try_take_permit(&self) -> bool {
        match &self.commons {
            None => self.capacity.try_take(),
            Some(commons) => commons.try_take(self, || self.capacity.try_take()),
        }
    }

    /// Permits that a waiter may be told of: none while the pool is written down as starving, for
    /// then it is told by the commons. One that is told in vain writes its pool down.
    pub(super) fn free_permits(&self) -> u32 {
        let own = self.capacity.peek().free();
        // Relaxed: set before the commons tell this pool, which they do under the line's mutex; the
        // caller holds that.
        match self.standing.load(Relaxed) {
            standing::STARVING => 0,
            standing::PROMISED => own.min(1),
            _ => own,
        }
    }

    /// Whether the pool was built by the process that this one was forked off: its locks may be held
    /// by threads that are not here, and what it has is the parent's.
    pub(crate) fn is_forked(&self) -> bool {
        let commons = self.commons.as_ref();
        self.gate.peek().has(GateWord::FORKED) || commons.is_some_and(|commons| commons.is_forked())
    }

    /// Has the gate closed in forked children, until the pool is dropped or, unless it is to be
    /// `kept`, has no connection.
    pub(super) fn refuse_in_children(&self, kept: bool) {
        // SAFETY: both are in the body, which stays in its `Arc` and unlists the mark in its drop.
        #[cfg(all(unix, not(plunge_loom)))]
        unsafe {
            self.mark.enlist(&self.gate, kept);
        }
        #[cfg(not(all(unix, not(plunge_loom))))]
        let _ = kept;
    }

    pub(crate) fn idle_count(&self) -> u32 {
        self.idle.len()
    }

    /// The line at this moment.
    pub(crate) fn queue(&self) -> Queue {
        if self.is_forked() {
            return Queue::default();
        }
        let list = self.waiters.lock();
        Queue {
            waiting: list.len(),
            connecting: list.pending(),
            paused: list.is_paused(),
        }
    }

    /// Takes of all connections that are open now.
    pub(crate) fn uses(&self) -> u64 {
        self.slots.iter().map(Slot::uses).sum()
    }

    pub(crate) fn generation(&self) -> u32 {
        // Relaxed: compared with a slot's; the gate's `inspect` says when it matters.
        self.generation.load(Relaxed)
    }

    /// Takes an idle connection while the gate is quiet: the hit.
    #[inline(always)]
    pub(crate) fn take_quiet(&self) -> Option<Lease<T, H>> {
        if !self.gate.peek().is_quiet() {
            return None;
        }
        self.take_idle()
    }

    /// Takes an idle connection, whoever waits. For the closer, maintenance and overtakers.
    #[inline]
    pub(crate) fn take_idle(&self) -> Option<Lease<T, H>> {
        self.idle.take().map(|id| self.lease(id))
    }

    /// The lease of an id that the caller took.
    #[inline(always)]
    pub(super) fn lease(&self, id: SlotId) -> Lease<T, H> {
        // SAFETY: ids come from the stack of free ids, which holds indices of `slots` only.
        let slot = unsafe { self.slots.get_unchecked(id.index()) };
        // SAFETY: the caller took the id.
        unsafe { Lease::of(slot) }
    }

    /// Whether a newcomer may take what is idle: nobody waits, or it may be overtaken.
    pub(crate) fn may_take(&self) -> bool {
        let gate = self.gate.peek();
        let shut = gate.has(GateWord::CLOSED) || gate.has(GateWord::SUSPENDED);
        !shut && (!gate.has(GateWord::LINE) || !self.is_strict(gate))
    }

    /// Whether those in line may pass one another.
    pub(crate) fn may_overtake(&self) -> bool {
        self.is_patient() && self.may_take()
    }

    /// A permit for a connection that was opened elsewhere, if one is free.
    pub(crate) fn claim_permit(this: &Arc<Self>) -> Option<Permit<T, H>> {
        this.try_take_permit()
            .then(|| Permit::adopt(Arc::clone(this)))
    }

    /// Moves an opened connection into a slot. One of an older generation is doomed at once.
    pub(crate) fn install(
        permit: Permit<T, H>,
        value: T,
        generation: u32,
        now: Tick,
    ) -> Lease<T, H> {
        let Some(body) = permit.transfer() else {
            unreachable!("a permit is transferred once")
        };
        let Some(id) = body.free.pop() else {
            unreachable!("each permit stands for a free slot")
        };
        if let Some(commons) = &body.commons {
            commons.joined(&body);
        }
        let slot = NonNull::from(&body.slots[id.index()]);
        // SAFETY: the slot is in the slab of `body`, which goes into the slot and lives with it.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: the id was just taken from the stack of free ids.
        unsafe { slot.install(body, value, generation, now) };
        // SAFETY: as above: nobody else has the id.
        let lease = unsafe { Lease::of(slot) };
        // SeqCst: between the tenancy and the generation; pairs with the fence in `evict_all`. One
        // of the two sees the other.
        fence(SeqCst);
        if lease.body().generation() != generation {
            lease.doom();
        }
        lease
    }
}

impl<T, H: Host<T>> Drop for Body<T, H> {
    fn drop(&mut self) {
        #[cfg(all(unix, not(plunge_loom)))]
        self.mark.unlist();
        // The thread that announced it, if any, is not in a forked child.
        if self.is_forked() {
            return;
        }
        // No slot is open here: each holds a reference. A release may still look at the gate, by
        // shared reference to atomics; it is waited for before anything is taken apart.
        hazard::wait_until_unused(std::ptr::from_mut(self).cast_const().cast());
        self.gate.dropped();
    }
}

/// How long newcomers may overtake, as the body keeps it.
pub(super) fn patience(fairness: Fairness) -> u64 {
    match fairness {
        Fairness::Fifo => 0,
        Fairness::Eventual(wait) => u64::try_from(wait.as_millis())
            .unwrap_or(u64::MAX - 1)
            .max(1),
        Fairness::Barging => u64::MAX,
    }
}
