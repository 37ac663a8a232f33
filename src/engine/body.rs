//! The body of a pool: the slots and every word that says who has them.
//!
//! Promise: a connection is in exactly one place; nobody sleeps in line while something is idle or
//! may be opened. Cost: a take is one locked instruction and a put another.

use std::ptr::NonNull;

use super::capacity::{Capacity, CapacityWord};
use super::dial::Ticket;
use super::gate::{Gate, GateWord};
use super::hazard::{self, Record};
use super::host::{Fairness, Host};
use super::idle::{IdleOrder, IdleSet};
use super::lease::Lease;
use super::permit::Permit;
use super::slot::{Slot, SlotId, Tenancy};
use super::stack::Stack;
use super::waiters::WaitList;
use super::wakes::Wakes;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{
    Arc, AtomicU32, AtomicU64, AtomicUsize, CachePadded, Mutex, fence, fence_after_rmw,
    thread_index,
};
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
    idle: IdleSet,
    slots: Box<[Slot<T, H>]>,
    host: H,
    /// How long newcomers may overtake the first in line, in milliseconds.
    patience: AtomicU64,
    generation: AtomicU32,
    /// Ids of empty slots.
    pub(super) free: Stack,
    pub(super) capacity: CachePadded<Capacity>,
    waiters: CachePadded<Mutex<WaitList<H::Failure>>>,
    /// User handles; counted apart from the references that slots and tasks have.
    pub(super) handles: CachePadded<AtomicUsize>,
}

// SAFETY: connections are reached through leases only, each by one thread at a time, so `T: Send`
// is enough; everything else is an atomic, behind a mutex, or fixed.
unsafe impl<T: Send, H: Host<T>> Sync for Body<T, H> {}
// SAFETY: as above.
unsafe impl<T: Send, H: Host<T>> Send for Body<T, H> {}

impl<T, H: Host<T>> Body<T, H> {
    pub(crate) fn new(settings: Settings, host: H) -> Self {
        let slots = (0..settings.ceiling)
            .map(|id| Slot::empty(SlotId::new(id)))
            .collect();
        Self {
            gate: CachePadded::new(Gate::new()),
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

    pub(crate) fn idle_count(&self) -> u32 {
        self.idle.len()
    }

    /// The line at this moment.
    pub(crate) fn queue(&self) -> Queue {
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
        !shut && (gate.waiters() == 0 || !self.is_strict(gate))
    }

    /// Whether those in line may pass one another.
    pub(crate) fn may_overtake(&self) -> bool {
        self.is_patient() && self.may_take()
    }

    /// Opens a connection that nobody dialled.
    #[cfg(test)]
    pub(super) fn open(this: &Arc<Self>, value: T) -> Lease<T, H> {
        assert!(this.capacity.try_take(), "a free permit");
        Self::install(
            Permit::adopt(Arc::clone(this)),
            value,
            this.generation(),
            Tick::from_millis(0),
        )
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

    /// What lives in each slot: for maintenance. A view may be outdated at once.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = Tenant<'_, T, H>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.tenant().map(|tenancy| Tenant { slot, tenancy }))
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

    /// Shows what lies in hot places, doomed or not used since `now`, to `look`.
    pub(crate) fn sweep_hot(
        &self,
        now: Tick,
        mut look: impl FnMut(Lease<T, H>) -> Option<Lease<T, H>>,
    ) {
        let is_cold = |id: SlotId| {
            let slot = &self.slots[id.index()];
            slot.is_doomed() || now.since(slot.since()).as_millis() > COARSE_MILLIS
        };
        for id in self.idle.take_cold(is_cold) {
            self.put_aside(look(self.lease(id)));
        }
    }

    /// Puts a connection back as it was: into the shared part, its stamp unchanged.
    fn put_aside(&self, lease: Option<Lease<T, H>>) {
        if let Some(lease) = lease {
            self.idle.put_aside(lease.into_id());
            self.settle();
        }
    }

    /// Starts a new generation: connections of older ones are retired as they are taken or put.
    pub(crate) fn evict_all(&self) -> u32 {
        // SeqCst: ordered before the look at the slots; see `install`.
        let generation = self.generation.fetch_add(1, SeqCst).wrapping_add(1);
        fence(SeqCst);
        self.tenants()
            .filter(|tenant| tenant.slot.generation() != generation)
            .for_each(|tenant| tenant.doom());
        generation
    }
}

/// A connection as it is seen by whoever does not hold it.
pub(crate) struct Tenant<'a, T, H: Host<T>> {
    slot: &'a Slot<T, H>,
    tenancy: Tenancy,
}

impl<T, H: Host<T>> Tenant<'_, T, H> {
    /// Marks it to be retired by its next taker, if it still lives there.
    pub(crate) fn doom(&self) {
        self.slot.doom(self.tenancy);
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

/// Putting. These run after the connection was given up, when another thread may retire it and
/// drop the body: so they take pointers, and a guard that keeps the memory.
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
        if gate.waiters() == 0 || gate.has(GateWord::SUSPENDED) || !this.is_strict(gate) {
            // SAFETY: as above.
            return unsafe { Self::publish(body, id, thread, guard) };
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

    /// Puts an id into the idle set and sees to whoever did not see it there.
    ///
    /// # Safety
    ///
    /// `guard` keeps the body in memory; the id is the caller's, and is given up.
    #[inline(always)]
    pub(super) unsafe fn publish<G>(
        body: *const Self,
        id: SlotId,
        thread: Option<usize>,
        guard: G,
    ) {
        // SAFETY: kept by `guard`.
        let this = unsafe { &*body };
        this.idle.put(id, thread);
        if this.gate.after_publish().is_quiet() {
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
            reference.settle_with(lease);
        }
    }

    /// Whether an idle connection would be of use to somebody.
    fn is_unsettled(&self) -> bool {
        let gate = self.gate.after_publish();
        gate.has(GateWord::CLOSED) || (gate.waiters() > 0 && !gate.has(GateWord::SUSPENDED))
    }

    /// Brings what is idle to whoever needs it, until one side is empty.
    pub(crate) fn settle(&self) {
        if self.is_unsettled()
            && let Some(lease) = self.take_idle()
        {
            self.settle_with(lease);
        }
    }

    fn settle_with(&self, mut lease: Lease<T, H>) {
        loop {
            let gate = self.gate.after_publish();
            if gate.has(GateWord::CLOSED) {
                H::returned(lease);
            } else if self.settle_one(lease.into_id(), gate) {
                return;
            }
            match self.is_unsettled().then(|| self.take_idle()).flatten() {
                Some(next) => lease = next,
                None => return,
            }
        }
    }

    /// Hands one connection on. `true`: the rest is up to somebody else.
    fn settle_one(&self, id: SlotId, gate: GateWord) -> bool {
        let strict = self.is_strict(gate);
        if strict {
            let (handed, wakes) = self.hand_off(id);
            if handed {
                drop(wakes);
                return false;
            }
        }
        self.idle.put(id, thread_index());
        // Where newcomers may overtake, the first in line is told to try its luck.
        !strict && self.nudge()
    }

    /// Whether a connection may only go to the first in line.
    fn is_strict(&self, gate: GateWord) -> bool {
        gate.has(GateWord::STRICT) || !self.is_patient()
    }

    fn hand_off(&self, id: SlotId) -> (bool, Wakes) {
        self.line(|list, wakes| {
            list.expire(self.time_for(list), wakes);
            let handed = list.serve_head(id, wakes);
            list.grant(self.capacity.peek().free(), wakes);
            handed
        })
    }

    /// Wakes the first in line, or, if it waited too long, lets nobody overtake it any more.
    fn nudge(&self) -> bool {
        let (settled, wakes) = self.line(|list, wakes| {
            list.expire(self.time_for(list), wakes);
            if self.refresh_strict(list) {
                return false;
            }
            list.nudge_head(wakes);
            true
        });
        drop(wakes);
        settled
    }
}

/// The line.
impl<T, H: Host<T>> Body<T, H> {
    /// Changes the line under its mutex and keeps the gate in step. The wakers are returned, to be
    /// dropped, and so woken, where no lock is held and the body is not needed any more.
    pub(super) fn line<R>(
        &self,
        change: impl FnOnce(&mut WaitList<H::Failure>, &mut Wakes) -> R,
    ) -> (R, Wakes) {
        let mut wakes = Wakes::default();
        let mut list = self.waiters.lock();
        let before = list.len();
        let result = change(&mut list, &mut wakes);
        self.gate.lower(before.saturating_sub(list.len()));
        let strict = self.refresh_strict(&list);
        // Where newcomers may overtake, nothing is handed over: whoever is first now looks for
        // itself, in case its predecessor left something.
        if list.len() < before && !strict && self.is_patient() && self.idle.len() > 0 {
            list.nudge_head(&mut wakes);
        }
        drop(list);
        (result, wakes)
    }

    /// Sets or clears `strict`, as the first in line has waited. Tells which. Called under the
    /// line's mutex.
    fn refresh_strict(&self, list: &WaitList<H::Failure>) -> bool {
        // Relaxed: a setting on its own.
        let patience = self.patience.load(Relaxed);
        let bounded = patience > 0 && patience < u64::MAX;
        let overdue = bounded
            && list.head_times().is_some_and(|(since, _)| {
                self.host.now().since(since).as_millis() >= u128::from(patience)
            });
        if overdue != self.gate.peek().has(GateWord::STRICT) {
            if overdue {
                self.gate.set(GateWord::STRICT)
            } else {
                self.gate.clear(GateWord::STRICT)
            };
        }
        overdue
    }

    /// Whether newcomers may overtake at all.
    fn is_patient(&self) -> bool {
        // Relaxed: a setting on its own.
        self.patience.load(Relaxed) > 0
    }

    /// The time, as exact as the first deadline in line asks for.
    fn time_for(&self, list: &WaitList<H::Failure>) -> Tick {
        let tick = self.tick.load();
        match list.head_times() {
            None | Some((_, Tick::NEVER)) => Tick::from_millis(0),
            // The coarse tick may lag; far from a deadline that is good enough.
            Some((_, end))
                if tick != Tick::NEVER && end.since(tick).as_millis() > COARSE_MILLIS =>
            {
                tick
            }
            Some(_) => self.host.now(),
        }
    }

    /// Takes a permit for one more dial that the line wants, unless nothing may be opened.
    pub(super) fn claim_in(&self, list: &mut WaitList<H::Failure>) -> bool {
        !self.is_suspended() && list.claim(&self.capacity)
    }

    /// Ends a pause of the dials that is long over, because whoever was to end it does not run.
    pub(crate) fn resume_overdue_dials(&self, now: Tick) {
        let ((), wakes) = self.line(|list, wakes| {
            if list.resume_overdue(now) {
                list.grant(self.capacity.peek().free(), wakes);
            }
        });
        drop(wakes);
    }

    /// Takes a permit for a dial, if one is wanted.
    pub(super) fn claim(this: &Arc<Self>) -> Option<Ticket<T, H>> {
        if this.capacity.peek().free() == 0 {
            return None;
        }
        let (claimed, wakes) = this.line(|list, _| this.claim_in(list));
        drop(wakes);
        claimed.then(|| Ticket::new(Permit::adopt(Arc::clone(this)), false))
    }

    /// Takes a permit for a dial that fills the idle set, unless `most` such are under way.
    pub(crate) fn claim_spare(this: &Arc<Self>, most: u32) -> Option<Ticket<T, H>> {
        if this.is_suspended() {
            return None;
        }
        let (claimed, wakes) = this.line(|list, _| list.claim_spare(&this.capacity, most));
        drop(wakes);
        claimed.then(|| Ticket::new(Permit::adopt(Arc::clone(this)), true))
    }

    /// A permit was freed: tells a waiter, if there is one. The caller made its RMW and fenced.
    pub(super) fn grant(&self) {
        let gate = self.gate.after_publish();
        if gate.has(GateWord::INSPECT) {
            self.refresh_inspect();
        }
        if gate.waiters() > 0 && !gate.has(GateWord::SUSPENDED) {
            let ((), wakes) =
                self.line(|list, wakes| list.grant(self.capacity.peek().free(), wakes));
            drop(wakes);
        }
    }
}

/// Closing.
impl<T, H: Host<T>> Body<T, H> {
    /// From now on nothing is handed out or opened; waiters are told. Tells whether it was open.
    pub(crate) fn shut(&self) -> bool {
        self.capacity.close();
        let before = self.gate.set(GateWord::CLOSED);
        let ((), wakes) = self.line(|list, wakes| list.close(wakes));
        drop(wakes);
        // SeqCst: between the closed gate and the closer's look at the idle set; a putter that did
        // not see the gate is seen by `take_idle`, and one that did takes its own back.
        fence(SeqCst);
        !before.has(GateWord::CLOSED)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.peek().has(GateWord::CLOSED)
    }

    /// Nothing is handed out or opened until `resume`; what comes back is kept.
    pub(crate) fn suspend(&self) {
        self.gate.set(GateWord::SUSPENDED);
    }

    /// Ends a suspension: a put of all that is idle, and of all free permits.
    pub(crate) fn resume(&self) {
        self.gate.clear(GateWord::SUSPENDED);
        fence_after_rmw();
        self.settle();
        self.grant();
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.gate.peek().has(GateWord::SUSPENDED)
    }

    /// Changes how many may be open. A raised limit is a put; above a lowered one, connections are
    /// retired as they come back.
    pub(crate) fn set_limit(&self, limit: u32) {
        self.capacity.set_limit(limit.min(self.ceiling()));
        fence_after_rmw();
        self.refresh_inspect();
        self.grant();
    }

    /// The highest limit that can be set.
    pub(crate) fn ceiling(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Changes who is served first, and how many may wait and be dialled.
    pub(crate) fn set_line(&self, max_connecting: u32, max_waiters: u32, fairness: Fairness) {
        // Relaxed: a setting on its own; the line below applies it to those who wait.
        self.patience.store(patience(fairness), Relaxed);
        let ((), wakes) = self.line(|list, wakes| {
            list.max_connecting = max_connecting;
            list.max_waiters = max_waiters;
            list.grant(self.capacity.peek().free(), wakes);
        });
        drop(wakes);
        self.settle();
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
        }
    }

    /// Whether more are open than the limit allows now.
    pub(crate) fn is_over_limit(&self) -> bool {
        let capacity = self.capacity.peek();
        capacity.open() > capacity.limit()
    }
}

impl<T, H: Host<T>> Drop for Body<T, H> {
    fn drop(&mut self) {
        // No slot is open here: each holds a reference. A release may still look at the gate, by
        // shared reference to atomics; it is waited for before anything is taken apart.
        hazard::wait_until_unused(std::ptr::from_mut(self).cast_const().cast());
        self.gate.dropped();
    }
}

/// How far the coarse tick may lag behind the clock.
const COARSE_MILLIS: u128 = 250;

fn patience(fairness: Fairness) -> u64 {
    match fairness {
        Fairness::Fifo => 0,
        Fairness::Eventual(wait) => u64::try_from(wait.as_millis())
            .unwrap_or(u64::MAX - 1)
            .max(1),
        Fairness::Barging => u64::MAX,
    }
}
