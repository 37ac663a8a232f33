//! Commons: the permits that several pools share.
//!
//! Each pool of a keyed set has a capacity of its own; beside it, each open connection takes one
//! permit from the commons. A pool that finds none there starves: it is written down, and either
//! an idle connection of another pool is evicted for it, the one used least recently, or the next
//! release anywhere retires its connection and so passes the permit on.
//!
//! Promise: no more are open in all pools together than the limit; no pool starves while another
//! one has something idle. Cost: one load a release; a short lock to open, to retire and to starve.
//!
//! Order of locks: the line of one pool, then the roll; never the other way round.

use std::collections::VecDeque;
use std::time::Duration;

use super::body::Body;
use super::host::Host;
use super::lease::Lease;
use super::wakes::Wakes;
use crate::sync::Ordering::{Relaxed, SeqCst};
#[cfg(all(unix, not(plunge_loom)))]
use crate::sync::forks;
use crate::sync::{Arc, AtomicU32, Mutex, fence};
use crate::time::Tick;

/// How many victims one look at all pools finds.
const VICTIMS: usize = 64;

/// For how long a look at all pools that found nothing idle spares the next one.
const BARREN_FOR: Duration = Duration::from_millis(200);

/// How a pool stands with the commons.
pub(super) mod standing {
    pub(crate) const NONE: u32 = 0;
    /// Written down: it misses a permit.
    pub(crate) const STARVING: u32 = 1;
    /// A permit is kept for it, which nobody else can take.
    pub(crate) const PROMISED: u32 = 2;
}

pub(crate) struct Commons<T, H: Host<T>> {
    /// How many permits are missed, and promised without a word so far; what a release looks at.
    /// Written under the lock of `roll`.
    pressure: AtomicU32,
    roll: Mutex<Roll<T, H>>,
    /// The process that built it, by its number of forks.
    #[cfg(all(unix, not(plunge_loom)))]
    home: u32,
}

struct Roll<T, H: Host<T>> {
    limit: u32,
    /// Permits taken.
    open: u32,
    /// Free permits that are kept for pools that starved.
    promised: u32,
    /// Connections that are being retired for those who starve.
    yielding: u32,
    evicted: u64,
    /// The pools that have connections, each at its `row`, and how many each has.
    active: Vec<(Arc<Body<T, H>>, u32)>,
    /// The pools that miss a permit, and since when their first in line waits.
    starving: VecDeque<Timed<T, H>>,
    /// Those that were promised one and are still to be told.
    untold: VecDeque<Arc<Body<T, H>>>,
    /// Pools with something idle, the most recently used first, as the last look found them.
    victims: Vec<Timed<T, H>>,
    /// When a look at all pools found nothing idle. Since then permits were missed all the time and
    /// no release kept a connection, so there is nothing to look for.
    barren: Option<Tick>,
}

/// A pool, and a time of it.
type Timed<T, H> = (Arc<Body<T, H>>, Tick);

/// The commons at one moment.
#[cfg(any(plunge_loom, feature = "keyed"))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommonsState {
    pub(crate) limit: u32,
    pub(crate) open: u32,
    /// Pools with connections.
    pub(crate) active: u32,
    /// Pools that miss a permit.
    pub(crate) starving: u32,
    /// Idle connections retired for another pool, so far.
    pub(crate) evicted: u64,
}

impl<T, H: Host<T>> Commons<T, H> {
    #[cfg(any(plunge_loom, feature = "keyed"))]
    pub(crate) fn new(limit: u32) -> Self {
        #[cfg(all(unix, not(plunge_loom)))]
        super::fork::ask();
        Self {
            #[cfg(all(unix, not(plunge_loom)))]
            home: forks(),
            pressure: AtomicU32::new(0),
            roll: Mutex::new(Roll {
                limit,
                open: 0,
                promised: 0,
                yielding: 0,
                evicted: 0,
                active: Vec::new(),
                starving: VecDeque::new(),
                untold: VecDeque::new(),
                victims: Vec::new(),
                barren: None,
            }),
        }
    }

    /// Runs something while the roll is locked.
    #[cfg(all(test, not(plunge_loom)))]
    pub(super) fn locked<R>(&self, run: impl FnOnce() -> R) -> R {
        let _roll = self.roll.lock();
        run()
    }

    #[cfg(any(plunge_loom, feature = "keyed"))]
    pub(crate) fn state(&self) -> CommonsState {
        self.change(|roll| CommonsState {
            limit: roll.limit,
            open: roll.open,
            active: u32::try_from(roll.active.len()).unwrap_or(u32::MAX),
            starving: u32::try_from(roll.starving.len()).unwrap_or(u32::MAX),
            evicted: roll.evicted,
        })
    }

    /// Changes how many may be open. Above a lowered limit, idle ones are retired at once and held
    /// ones as they come back.
    #[cfg(any(plunge_loom, feature = "keyed"))]
    pub(crate) fn set_limit(&self, limit: u32) {
        self.change(|roll| roll.limit = limit);
        // SeqCst: between the pressure and the look at what is idle, as in `starve`.
        fence(SeqCst);
        while self.evict(Tick::NEVER) {}
        self.tend(&mut Wakes::default());
    }

    /// Whether it was built by the process that this one was forked off.
    #[cfg(all(unix, not(plunge_loom)))]
    pub(crate) fn is_forked(&self) -> bool {
        self.home != forks()
    }

    #[cfg(not(all(unix, not(plunge_loom))))]
    pub(crate) fn is_forked(&self) -> bool {
        false
    }

    /// Takes the permit that was promised to `body`, or one that is free, and one of its own by
    /// `own`: both or neither. Nobody ever sees a permit taken that is given back at once.
    pub(super) fn try_take(&self, body: &Body<T, H>, own: impl FnOnce() -> bool) -> bool {
        // Whoever held the lock may not be there.
        if self.is_forked() {
            return false;
        }
        self.change(|roll| {
            let promised = roll.is_promised(body);
            let may = if promised {
                roll.open < roll.limit
            } else {
                roll.free() > 0
            };
            let taken = may && own();
            // Ended also where the limit was lowered since: who starves then is written down again.
            if promised && (taken || !may) {
                roll.take_promise(body);
            }
            roll.open += u32::from(taken);
            taken
        })
    }

    /// Gives a promised permit up that `body` has no use for. Tells whether there was one.
    pub(super) fn decline(&self, body: &Body<T, H>) -> bool {
        self.change(|roll| roll.take_promise(body))
    }

    /// Gives a permit back that no slot owes. The caller tends the starving ones next.
    pub(super) fn give_back(&self) {
        self.change(|roll| {
            roll.open -= 1;
            roll.yielding = roll.yielding.saturating_sub(1);
        });
    }

    /// A connection of `body` moved into its slot: from here on it may be evicted.
    pub(super) fn joined(&self, body: &Arc<Body<T, H>>) {
        self.change(|roll| {
            // Relaxed, here and in `left`: written under this lock alone.
            match body.row.load(Relaxed) as usize {
                0 => {
                    roll.active.push((Arc::clone(body), 1));
                    body.row.store(roll.active.len() as u32, Relaxed);
                    body.refuse_in_children(false);
                }
                row => roll.active[row - 1].1 += 1,
            }
        });
    }

    /// A connection of `body` left its slot.
    pub(super) fn left(&self, body: &Arc<Body<T, H>>) {
        let _dropped_outside = self.change(|roll| {
            // Relaxed, all three: as in `joined`.
            let row = (body.row.load(Relaxed) as usize).checked_sub(1)?;
            let entry = roll.active.get_mut(row)?;
            entry.1 -= 1;
            if entry.1 > 0 {
                return None;
            }
            let left = roll.active.swap_remove(row);
            body.row.store(0, Relaxed);
            #[cfg(all(unix, not(plunge_loom)))]
            body.mark.unlist_unless_kept();
            if let Some((moved, _)) = roll.active.get(row) {
                moved.row.store(row as u32 + 1, Relaxed);
            }
            // No reference to a pool without connections is kept, or it would never be freed.
            let victims = roll
                .victims
                .extract_if(.., |(other, _)| Arc::ptr_eq(other, body));
            let victims = victims.collect::<Vec<_>>();
            Some((left, victims))
        });
    }

    /// Writes down that `body` misses a permit, and makes room for it if something is idle
    /// elsewhere. `true`: a permit came back meanwhile, to be tried for again.
    pub(super) fn starve(&self, body: &Arc<Body<T, H>>, since: Tick) -> bool {
        let freed = self.change(|roll| {
            // Relaxed: written under this lock alone.
            let standing = body.standing.load(Relaxed);
            if roll.free() > 0 || standing == standing::PROMISED {
                return true;
            }
            // Nobody is in line any more: who comes next writes the pool down. Suspended: who is in
            // line tries again when that ends.
            if standing == standing::NONE && body.gate().is_served() {
                body.standing.store(standing::STARVING, Relaxed);
                roll.write_down(Arc::clone(body), since);
            }
            false
        });
        if freed {
            return true;
        }
        // SeqCst: between the pressure and the look at what is idle; pairs with the fence after a
        // publication, after which a release loads the pressure. One of the two sees the other.
        fence(SeqCst);
        self.evict(body.host().now());
        false
    }

    /// `body` misses nothing any more: nobody is in its line.
    pub(super) fn forget(&self, body: &Body<T, H>) {
        // Relaxed: as in `starve`; outside the lock a hint, for the caller's own waiter was the one
        // that wrote it.
        if body.standing.load(Relaxed) == standing::STARVING {
            self.forget_now(body);
        }
    }

    /// The same, also where somebody else may have written it down; or `body` is suspended, and would
    /// serve nobody.
    pub(super) fn forget_now(&self, body: &Body<T, H>) {
        let _dropped_outside = self.change(|roll| {
            let place = roll.place_of(body)?;
            // Under the lock of the roll a newcomer cannot be written down between the two looks;
            // after it, it finds the flag down and writes itself. Nor can one that was in line when the
            // gate was suspended: it looks at the gate under this lock.
            if body.gate().is_served() {
                return None;
            }
            // Relaxed: as in `starve`.
            body.standing.store(standing::NONE, Relaxed);
            roll.starving.remove(place)
        });
    }

    /// Whether a permit is missed anywhere. One load: what each release looks at.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        // SeqCst: after the fence of a publication; pairs with the fence in `starve`.
        self.pressure.load(SeqCst) > 0
    }

    /// Whether a connection that is idle now would be of use elsewhere.
    pub(super) fn wants_more(&self) -> bool {
        self.change(|roll| roll.missing() > 0)
    }

    /// Whether the caller is to retire the connection that it has in its hands.
    pub(super) fn claims_one(&self) -> bool {
        self.change(Roll::begin_yield)
    }

    /// Whether somebody in another pool waits for longer than since `own`, and the caller is to
    /// retire the connection that it would hand to its own line.
    pub(super) fn claims_before(&self, body: &Body<T, H>, own: Tick) -> bool {
        self.change(|roll| {
            // Who was first in its line when it was written down may have been served since.
            if let Some(place) = roll.place_of(body)
                && let Some((body, _)) = roll.starving.remove(place)
            {
                roll.write_down(body, own);
            }
            let earlier = roll.starving.front().is_some_and(|(_, since)| *since < own);
            // Told no, it hands over to its own line; what that does not take is asked for again.
            (earlier || roll.is_over()) && roll.begin_yield()
        })
    }

    /// Tells pools that starved that a permit is kept for them. Called without a lock by whoever
    /// freed one, who wakes them when all were told: a waker that panics keeps nobody from hearing of it.
    pub(super) fn tend(&self, told: &mut Wakes) {
        while let Some(body) = self.change(|roll| roll.untold.pop_front()) {
            let (wanted, wakes) = body.grant_starved();
            // Where nobody wants it any more, it is kept for the next one.
            if !wanted {
                self.decline(&body);
            }
            told.append(wakes);
        }
    }

    /// Retires one idle connection for whoever misses its permit. Called without a lock.
    fn evict(&self, now: Tick) -> bool {
        let mut dropped_outside = Vec::new();
        let lease = self.change(|roll| roll.take_victim(now, &mut dropped_outside));
        let found = lease.is_some();
        lease.into_iter().for_each(H::evicted);
        found
    }

    /// Changes the roll under its lock and keeps the pressure in step.
    fn change<R>(&self, change: impl FnOnce(&mut Roll<T, H>) -> R) -> R {
        let mut roll = self.roll.lock();
        let result = change(&mut roll);
        // In the same step: a permit that is free while somebody starves would be counted as the
        // one to come, and be taken by somebody else.
        roll.promise_free();
        let wanted = roll.wanted();
        if wanted == 0 {
            // From here on releases keep what they have without a word.
            roll.barren = None;
        }
        let untold = u32::try_from(roll.untold.len()).unwrap_or(u32::MAX);
        let pressure = wanted.saturating_add(untold);
        // SeqCst: ordered before the fence in `starve`; see `is_pressed`.
        self.pressure.store(pressure, SeqCst);
        result
    }
}

impl<T, H: Host<T>> Roll<T, H> {
    /// Permits that are missed: one for each pool that starves, and what is above the limit.
    fn wanted(&self) -> u32 {
        let starving = u32::try_from(self.starving.len()).unwrap_or(u32::MAX);
        starving.saturating_add(self.open.saturating_sub(self.limit))
    }

    /// Those of them that nobody is retiring a connection for.
    fn missing(&self) -> u32 {
        self.wanted().saturating_sub(self.yielding)
    }

    /// Who waits longest is first, also if a permit was snatched away from it.
    fn write_down(&mut self, body: Arc<Body<T, H>>, since: Tick) {
        let place = self.starving.partition_point(|(_, other)| *other <= since);
        self.starving.insert(place, (body, since));
    }

    fn place_of(&self, body: &Body<T, H>) -> Option<usize> {
        let body = std::ptr::from_ref(body);
        let mut starving = self.starving.iter();
        starving.position(|(other, _)| std::ptr::eq(Arc::as_ptr(other), body))
    }

    fn begin_yield(&mut self) -> bool {
        let wanted = self.missing() > 0;
        // Who asks and is told no leaves something idle.
        self.barren = self.barren.filter(|_| wanted);
        self.yielding += u32::from(wanted);
        self.evicted += u64::from(wanted);
        wanted
    }

    /// Permits that nobody has and that are kept for nobody.
    fn free(&self) -> u32 {
        self.limit
            .saturating_sub(self.open.saturating_add(self.promised))
    }

    /// Whether more are open than may be, those apart that are being retired.
    fn is_over(&self) -> bool {
        self.open.saturating_sub(self.limit) > self.yielding
    }

    /// Keeps what is free for the pools that wait longest: no newcomer can take it.
    fn promise_free(&mut self) {
        while self.free() > 0
            && let Some((body, _)) = self.starving.pop_front()
        {
            // Relaxed: as in `Commons::starve`.
            body.standing.store(standing::PROMISED, Relaxed);
            self.promised += 1;
            self.untold.push_back(body);
        }
    }

    /// Ends a promise to `body`, if there is one.
    fn take_promise(&mut self, body: &Body<T, H>) -> bool {
        let promised = self.is_promised(body);
        if promised {
            // Relaxed: as in `Commons::starve`.
            body.standing.store(standing::NONE, Relaxed);
            self.promised -= 1;
        }
        promised
    }

    fn is_promised(&self, body: &Body<T, H>) -> bool {
        // Relaxed: as in `Commons::starve`.
        body.standing.load(Relaxed) == standing::PROMISED
    }

    /// An idle connection of the pool used least recently. `passed` gets references to be dropped
    /// without the lock.
    fn take_victim(&mut self, now: Tick, passed: &mut Vec<Timed<T, H>>) -> Option<Lease<T, H>> {
        if self.missing() == 0 {
            return None;
        }
        // Used since it was seen: there may be one that was not.
        let is_unused = |body: &Body<T, H>, seen| body.last_use() == Some(seen);
        let mut found = self.pop_victim(passed, is_unused);
        if found.is_none() && !self.is_barren(now) {
            self.find_victims(now);
            found = self.pop_victim(passed, |_, _| true);
        }
        if found.is_some() {
            self.begin_yield();
        }
        found
    }

    fn pop_victim(
        &mut self,
        passed: &mut Vec<Timed<T, H>>,
        is_fit: impl Fn(&Body<T, H>, Tick) -> bool,
    ) -> Option<Lease<T, H>> {
        while let Some((body, seen)) = self.victims.pop() {
            let lease = is_fit(&body, seen).then(|| body.take_idle()).flatten();
            passed.push((body, seen));
            if lease.is_some() {
                return lease;
            }
        }
        None
    }

    /// Whether a look would find nothing. Believed for a while only: who waits looks now and then,
    /// and finds what should not be there.
    fn is_barren(&self, now: Tick) -> bool {
        self.barren.is_some_and(|seen| now.since(seen) < BARREN_FOR)
    }

    fn find_victims(&mut self, now: Tick) {
        let idle = self.active.iter().filter(|(body, _)| body.idle_count() > 0);
        let seen = idle.filter_map(|(body, _)| Some((body, body.last_use()?)));
        let mut seen = seen.collect::<Vec<_>>();
        // What is put from here on is put by somebody who sees the pressure and comes to ask.
        // Believed where the time is known: for ever would be too long.
        self.barren = (seen.is_empty() && now != Tick::NEVER).then_some(now);
        if seen.len() > VICTIMS {
            seen.select_nth_unstable_by_key(VICTIMS, |(_, used)| *used);
            seen.truncate(VICTIMS);
        }
        seen.sort_unstable_by_key(|(_, used)| std::cmp::Reverse(*used));
        let seen = seen
            .into_iter()
            .map(|(body, used)| (Arc::clone(body), used));
        self.victims = seen.collect();
    }
}
