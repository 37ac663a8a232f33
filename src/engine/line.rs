//! The line, as the body runs it: the list of waiters, the gate that says whether there are any,
//! and the dials that are made for them.
//!
//! Promise: every change is made under one mutex and leaves the gate in step; wakers are woken when
//! the mutex is released and the body is not needed any more.
//! Cost: touched only when the idle set is empty.

use super::body::Body;
use super::commons::standing;
use super::dial::Ticket;
use super::gate::GateWord;
use super::host::Host;
use super::permit::Permit;
use super::waiters::WaitList;
use super::wakes::Wakes;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::{Arc, fence};
use crate::time::{LAG, Tick};

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
        // Only where the line begins or ends: between the two nobody writes what all others read.
        match (before > 0, list.len() > 0) {
            (false, true) => self.gate.raise(),
            (true, false) => self.gate.lower(),
            _ => {}
        }
        self.refresh_strict(&list);
        // Where newcomers may overtake, nothing is handed over: whoever is first now looks for
        // itself, in case its predecessor left something. Also where it may not be overtaken any
        // more: its predecessor, which came later, might have been.
        if list.len() < before && self.is_patient() && self.idle.len() > 0 {
            list.nudge_head(&mut wakes);
        }
        drop(list);
        (result, wakes)
    }

    /// Sets or clears `strict`, as the first in line has waited. Tells which. Called under the
    /// line's mutex.
    pub(super) fn refresh_strict(&self, list: &WaitList<H::Failure>) -> bool {
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
    pub(super) fn is_patient(&self) -> bool {
        // Relaxed: a setting on its own.
        self.patience.load(Relaxed) > 0
    }

    /// The time, as exact as the first deadline in line asks for.
    pub(super) fn time_for(&self, list: &WaitList<H::Failure>) -> Tick {
        let tick = self.tick.load();
        match list.head_times() {
            None | Some((_, Tick::NEVER)) => Tick::from_millis(0),
            // The coarse tick may lag; far from a deadline that is good enough.
            Some((_, end))
                if tick != Tick::NEVER && end.since(tick).as_millis() > LAG.as_millis() =>
            {
                tick
            }
            Some(_) => self.host.now(),
        }
    }

    /// Has everybody in line polled once more, so that each sees to its own time. Tells whether
    /// somebody waits.
    pub(crate) fn rouse(&self) -> bool {
        // SeqCst: between what the caller wrote and the look at the line; pairs with the fence in
        // `Wait::enlist`, after which a waiter reads that.
        fence(SeqCst);
        if !self.gate.after_publish().has(GateWord::LINE) {
            return false;
        }
        let ((), wakes) = self.line(|list, wakes| list.rouse(wakes));
        drop(wakes);
        true
    }

    /// Takes a permit for one more dial that the line wants, unless nothing may be opened.
    pub(super) fn claim_in(&self, list: &mut WaitList<H::Failure>) -> bool {
        !self.is_suspended() && list.claim(|| self.try_take_permit())
    }

    /// Ends a pause of the dials that is long over, because whoever was to end it does not run.
    pub(crate) fn resume_overdue_dials(&self, now: Tick) {
        let ((), wakes) = self.line(|list, wakes| {
            if list.resume_overdue(now) {
                list.grant(self.free_permits(), wakes);
            }
        });
        drop(wakes);
    }

    /// Takes a permit for a dial, if one is wanted. Where the commons have none, the pool starves.
    pub(super) fn claim(this: &Arc<Self>) -> Option<Ticket<T, H>> {
        loop {
            if this.capacity.peek().free() == 0 {
                this.settle_promise();
                return None;
            }
            let ((claimed, starving), wakes) = this.line(|list, _| {
                let claimed = this.claim_in(list);
                (claimed, (!claimed).then(|| this.starves(list)).flatten())
            });
            drop(wakes);
            if claimed {
                return Some(Ticket::new(Permit::adopt(Arc::clone(this)), false));
            }
            let again = match (&this.commons, starving) {
                (Some(commons), Some(since)) => commons.starve(this, since),
                _ => false,
            };
            if !again {
                this.settle_promise();
                return None;
            }
        }
    }

    /// Another ticket after a dial that ended: the one claimed with its end, or, where the commons
    /// may have refused that, a claim of its own, which is not forgotten.
    pub(super) fn claim_next(this: Arc<Self>, claimed: bool) -> Option<Ticket<T, H>> {
        if claimed {
            return Some(Ticket::new(Permit::adopt(this), false));
        }
        this.commons.as_ref()?;
        Self::claim(&this)
    }

    /// Since when the first in line waits, if all that it misses is a permit of the commons.
    fn starves(&self, list: &WaitList<H::Failure>) -> Option<Tick> {
        let missed = !self.is_suspended() && list.is_wanting() && self.capacity.peek().free() > 0;
        let (since, _) = missed.then(|| list.head_times()).flatten()?;
        Some(since)
    }

    /// A permit of the commons is free: tells a waiter. Tells whether somebody wants it.
    pub(super) fn grant_starved(&self) -> (bool, Wakes) {
        self.line(|list, wakes| {
            let wanted = self.starves(list).is_some();
            // Whether or not it is still free: who finds it gone writes its pool down again.
            list.grant(1, wakes);
            wanted
        })
    }

    /// Tells other pools of permits that are free in the commons. Called without a lock.
    pub(super) fn tend(&self, wakes: &mut Wakes) {
        if let Some(commons) = &self.commons
            && commons.is_pressed()
        {
            commons.tend(wakes);
        }
    }

    /// A wait ended: a pool without a line misses nothing, and what was granted to it goes on.
    pub(super) fn after_wait(&self) {
        let Some(commons) = &self.commons else { return };
        let mut wakes = Wakes::default();
        if commons.is_pressed() {
            if !self.gate.peek().has(GateWord::LINE) {
                commons.forget(self);
            }
            commons.tend(&mut wakes);
            // What was left idle for a line that is gone.
            self.settle_into(&mut wakes);
        }
        self.settle_promise_into(&mut wakes);
        // Last: wakers are code of others, and may panic.
        drop(wakes);
    }

    /// Passes a permit on that the commons keep for this pool, if nobody here can use it. Called
    /// without a lock.
    pub(super) fn settle_promise(&self) {
        if self.is_promised() {
            self.settle_promise_into(&mut Wakes::default());
        }
    }

    /// The same; others are woken by the caller, when all else is done.
    pub(super) fn settle_promise_into(&self, wakes: &mut Wakes) {
        if let Some(commons) = &self.commons
            && self.is_promised()
        {
            let (wanted, told) = self.grant_starved();
            wakes.append(told);
            if !wanted && commons.decline(self) {
                commons.tend(wakes);
            }
        }
    }

    fn is_promised(&self) -> bool {
        // Relaxed: a promise made later is seen to by whoever makes it, under the line's mutex.
        self.standing.load(Relaxed) == standing::PROMISED
    }

    /// Takes a permit for a dial that fills the idle set, unless `most` such are under way.
    pub(crate) fn claim_spare(this: &Arc<Self>, most: u32) -> Option<Ticket<T, H>> {
        // Others wait for what this would only keep ready.
        let pressed = this
            .commons
            .as_ref()
            .is_some_and(|commons| commons.is_pressed());
        if this.is_suspended() || pressed {
            return None;
        }
        let (claimed, wakes) =
            this.line(|list, _| list.claim_spare(|| this.try_take_permit(), most));
        drop(wakes);
        claimed.then(|| Ticket::new(Permit::adopt(Arc::clone(this)), true))
    }

    /// A permit was freed: tells a waiter, if there is one. The caller made its RMW and fenced.
    pub(super) fn grant(&self, wakes: &mut Wakes) {
        let gate = self.gate.after_publish();
        if gate.has(GateWord::INSPECT) {
            self.refresh_inspect();
        }
        if gate.is_served() {
            let ((), told) = self.line(|list, wakes| list.grant(self.free_permits(), wakes));
            wakes.append(told);
        }
    }
}
