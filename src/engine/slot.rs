//! A slot: the place where one connection lives from its opening to its retirement.
//!
//! Promise: a connection never moves; only the taker of its id touches it. Queues carry ids.
//! Cost: one cache line of its own beside the connection, so that neighbours do not slow down.

use std::mem::MaybeUninit;
use std::num::NonZero;

use super::body::Body;
use super::host::Host;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, UnsafeCell};
use crate::time::Tick;

/// The number of a slot. Kept one higher, so that zero means none, here and in a hot place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(NonZero<u32>);

impl SlotId {
    /// # Panics
    ///
    /// On the highest number; there are fewer slots.
    pub(super) const fn new(number: u32) -> Self {
        match NonZero::new(number.wrapping_add(1)) {
            Some(word) => Self(word),
            None => panic!("a pool has fewer slots"),
        }
    }

    /// What [`as_word`](Self::as_word) made; zero is no slot.
    #[inline(always)]
    pub(super) fn from_word(word: u32) -> Option<Self> {
        NonZero::new(word).map(Self)
    }

    #[inline(always)]
    pub(super) const fn as_word(self) -> u32 {
        self.0.get()
    }

    pub(super) const fn number(self) -> u32 {
        self.0.get() - 1
    }

    #[inline(always)]
    pub(super) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// | phase  | who may touch the connection | leaves for                  |
/// |--------|------------------------------|-----------------------------|
/// | Empty  | whoever took its free id     | Leased (`install`)          |
/// | Leased | its `Lease` alone            | Idle (put), Empty (retire)  |
/// | Idle   | whoever took its id          | Leased                      |
///
/// The phase is where the id is: in the stack of free ids, with a `Lease`, or in the idle set.
#[repr(align(64))]
pub(super) struct Slot<T, H: Host<T>> {
    /// The strong reference that an open slot has to its body.
    owner: UnsafeCell<Option<Arc<Body<T, H>>>>,
    value: UnsafeCell<MaybeUninit<T>>,
    /// Since when the connection is idle, or leased; written by the holder only.
    since: AtomicU64,
    created: AtomicU64,
    /// Takes of this connection; written by the holder only.
    uses: AtomicU64,
    /// Which connection lives here: a count in bits 3..32, and the flags below.
    tenancy: AtomicU32,
    generation: AtomicU32,
    id: SlotId,
}

/// One stay of one connection in its slot: an old one dooms nobody new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenancy(u32);

/// In the word: not for long.
const DOOMED: u32 = 1;
/// Somebody lives there.
const OPEN: u32 = 1 << 1;
/// The floor above took a note of this lease; its return is not a plain one.
const NOTED: u32 = 1 << 2;
const FLAGS: u32 = DOOMED | OPEN | NOTED;
const STAY: u32 = FLAGS + 1;

impl<T, H: Host<T>> Slot<T, H> {
    pub(super) fn empty(id: SlotId) -> Self {
        Self {
            owner: UnsafeCell::new(None),
            value: UnsafeCell::new(MaybeUninit::uninit()),
            since: AtomicU64::new(0),
            created: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            tenancy: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            id,
        }
    }

    pub(super) const fn id(&self) -> SlotId {
        self.id
    }

    /// Moves a connection in, with the reference it keeps to the body.
    ///
    /// # Safety
    ///
    /// The caller took this slot's id from the stack of free ids.
    pub(super) unsafe fn install(
        &self,
        owner: Arc<Body<T, H>>,
        value: T,
        generation: u32,
        now: Tick,
    ) {
        // SAFETY: an empty slot is touched by the taker of its free id alone.
        self.owner.with_mut(|cell| unsafe { *cell = Some(owner) });
        // SAFETY: as above; the old value was moved out when the slot was emptied.
        self.value.with_mut(|cell| unsafe { (*cell).write(value) });
        // Relaxed, all five: published with the id, by whatever hands that on.
        self.since.store(now.as_millis(), Ordering::Relaxed);
        self.created.store(now.as_millis(), Ordering::Relaxed);
        self.uses.store(0, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
        let tenancy = self.tenancy.load(Ordering::Relaxed);
        // SeqCst: ordered before the installer's look at the pool's generation; the other variable
        // is that one. Release: pairs with `tenant`, for the stamps above.
        self.tenancy.store(
            (tenancy & !FLAGS).wrapping_add(STAY) | OPEN,
            Ordering::SeqCst,
        );
    }

    /// Moves the connection out, with the reference that kept the body alive.
    ///
    /// # Safety
    ///
    /// The caller has this slot's lease, and gives it up.
    pub(super) unsafe fn vacate(&self) -> (T, Option<Arc<Body<T, H>>>) {
        // SAFETY: a leased slot is touched by its holder alone, and holds a connection.
        let value = self
            .value
            .with(|cell| unsafe { (*cell).assume_init_read() });
        // SAFETY: as above.
        let owner = self.owner.with_mut(|cell| unsafe { (*cell).take() });
        // Relaxed: a statistic; the retirer has counted them.
        self.uses.store(0, Ordering::Relaxed);
        // Relaxed: a word on its own. One step: a doom of this tenancy came before it and is wiped
        // out, or fails its compare-exchange.
        self.tenancy.fetch_and(!FLAGS, Ordering::Relaxed);
        (value, owner)
    }

    /// The body that this slot keeps alive.
    ///
    /// # Safety
    ///
    /// The caller has this slot's lease, so the slot is not empty.
    #[inline(always)]
    pub(super) unsafe fn owner(&self) -> &Arc<Body<T, H>> {
        // SAFETY: set by `install`, unset by `vacate` alone, which needs the lease too.
        self.owner
            .with(|cell| unsafe { (*cell).as_ref().unwrap_unchecked() })
    }

    /// The connection.
    ///
    /// # Safety
    ///
    /// The caller has this slot's lease.
    #[inline(always)]
    pub(super) unsafe fn value(&self) -> &T {
        // SAFETY: a leased slot holds a connection that only its holder touches.
        self.value.with(|cell| unsafe { (*cell).assume_init_ref() })
    }

    /// The connection, to be changed.
    ///
    /// # Safety
    ///
    /// The caller has this slot's lease, and borrows it mutably for as long as the result lives.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // the lease is what is borrowed mutably
    pub(super) unsafe fn value_mut(&self) -> &mut T {
        // SAFETY: a leased slot holds a connection that only its holder touches.
        self.value
            .with_mut(|cell| unsafe { (*cell).assume_init_mut() })
    }

    /// Says how many takes there were; the holder alone writes, so no locked instruction is needed.
    #[inline(always)]
    pub(super) fn set_uses(&self, uses: u64) {
        // Relaxed: a statistic; the next holder sees it with the id.
        self.uses.store(uses, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn uses(&self) -> u64 {
        // Relaxed: a statistic.
        self.uses.load(Ordering::Relaxed)
    }

    pub(super) fn generation(&self) -> u32 {
        // Relaxed: the holder sees it with the id.
        self.generation.load(Ordering::Relaxed)
    }

    pub(super) fn created(&self) -> Tick {
        // Relaxed: the holder sees it with the id.
        Tick::from_millis(self.created.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn since(&self) -> Tick {
        // Relaxed: the holder sees it with the id.
        Tick::from_millis(self.since.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn stamp(&self, now: Tick) {
        // Relaxed: published with the id. Most takes and puts fall into the tick of the one before: a
        // store spared is one less that the locked instruction after it has to wait for.
        if self.since() != now {
            self.since.store(now.as_millis(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn is_doomed(&self) -> bool {
        // Relaxed: a hint that may come a moment late; nothing is read because of it.
        self.tenancy.load(Ordering::Relaxed) & DOOMED != 0
    }

    /// Whether a return has to look closer: the connection is doomed, or its lease noted.
    #[inline(always)]
    pub(super) fn is_marked(&self) -> bool {
        // Relaxed: as in `is_doomed`; the note is the holder's own.
        self.tenancy.load(Ordering::Relaxed) & (DOOMED | NOTED) != 0
    }

    pub(super) fn is_noted(&self) -> bool {
        // Relaxed: set and cleared by the holder, who asks.
        self.tenancy.load(Ordering::Relaxed) & NOTED != 0
    }

    /// Marks the lease as noted, or no longer so. The holder alone does this; a doom may come at the
    /// same time, so it is a read-modify-write.
    pub(super) fn note(&self, noted: bool) {
        if noted {
            // Release: pairs with `tenant`; who sees the mark sees what was noted, and the stamp.
            self.tenancy.fetch_or(NOTED, Ordering::Release);
        } else {
            // Relaxed: nothing is read because it is gone.
            self.tenancy.fetch_and(!NOTED, Ordering::Relaxed);
        }
    }

    pub(super) fn tenancy(&self) -> Tenancy {
        // Relaxed: the holder sees it with the id.
        Tenancy(self.tenancy.load(Ordering::Relaxed) & !(DOOMED | NOTED))
    }

    /// The connection that lives here, for whoever does not hold it, and whether its lease is noted.
    pub(super) fn tenant(&self) -> Option<(Tenancy, bool)> {
        // SeqCst: one side of the order named in `install`. Acquire: its stamps are seen.
        let word = self.tenancy.load(Ordering::SeqCst);
        let noted = word & NOTED != 0;
        (word & OPEN != 0).then_some((Tenancy(word & !(DOOMED | NOTED)), noted))
    }

    /// Marks the connection to be retired by its next taker, if it still lives here.
    pub(super) fn doom(&self, tenancy: Tenancy) -> bool {
        // Relaxed: a flag on its own. Goes round when its holder takes a note of the lease.
        self.tenancy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                (word & !(DOOMED | NOTED) == tenancy.0).then_some(word | DOOMED)
            })
            .is_ok_and(|before| before & DOOMED == 0)
    }
}
