//! How shared children that work make way for others: they had their share of requests or of time, or the
//! upstream forgot their session.
//!
//! Promise: one that is due serves until its successor does; then it gets nothing new, ends what it has, and goes.
//! Subscriptions move to another child as at a death. While no successor can be started it goes on serving. As
//! many may leave at a time as may serve; a child that a client may come back to waits for that, unless nobody
//! else could serve then. Nobody's request is ended because a child that works makes way.
//! Cost: a look at every child in each sweep.

use std::ops::DerefMut;

use tokio::time::Instant;

use super::child::{SharedChild, replaced};
use super::group::{Group, Picked};
use crate::proxy::options::{ServeOptions, Upstream};
use crate::sync::Arc;

impl Group {
    /// Counts a request against what a child may have; `false`: it had all.
    pub(super) fn use_up(self: &Arc<Self>, child: &SharedChild, most: Option<u64>) -> bool {
        let may = most.is_none_or(|most| child.wear.take(most));
        if child.is_due() {
            self.start_one(); // not to wait for the next sweep
        }
        may
    }

    /// One that had its share, where nobody else can be had.
    pub(super) fn worn_one(&self) -> Option<Picked> {
        // What failed long ago says nothing of the start that is under way.
        let lately = 2 * self.options.get().connect_timeout;
        let failed = self.starts.borrow().1.as_ref().map(|failed| failed.1);
        let has_failed = failed.is_some_and(|failed| failed.elapsed() < lately);
        (has_failed || !self.may_start())
            .then(|| self.any_worn())
            .flatten()
    }

    /// Any that has room.
    pub(super) fn any_worn(&self) -> Option<Picked> {
        let child = self.least_busy_of(SharedChild::has_room)?;
        Some(Picked {
            child,
            anyway: true,
        })
    }

    /// Looks which children are due, has successors started, and lets those go that are done.
    pub(super) fn renew(self: &Arc<Self>, now: Instant) {
        self.see_off(now);
        let options = self.options.get();
        let mut children = self.children.lock();
        let mut stay = 0;
        for child in children.iter() {
            child.wear.look(&options, now);
            stay += usize::from(!child.is_due());
        }
        if stay == children.len() {
            return;
        }
        // What has nothing to do, and is not missed, needs no successor; but one has to find room.
        let is_spare = |child: &Arc<SharedChild>| child.is_due() && child.is_idle();
        let open = children.len() + self.leaving.lock().len();
        let has_room = open < most_open(&options) as usize;
        let spare = match has_room && stay >= options.min_idle as usize {
            true => children.iter().position(is_spare),
            false => None,
        };
        let gone = spare.map(|at| self.leave(children.swap_remove(at)));
        let is_due = children.iter().any(|child| child.is_due());
        drop(children);
        if let Some(gone) = gone {
            self.note_replaced(&gone, now);
        }
        if is_due {
            self.start_one();
        }
    }

    /// Lets the child go whose place another one takes, if there is one that is due.
    pub(super) fn relieve(&self, children: &mut Vec<Arc<SharedChild>>) -> Option<Arc<SharedChild>> {
        let worst = (0..children.len()).max_by_key(|at| children[*at].wear.stage());
        let due = worst.filter(|at| children[*at].is_due())?;
        Some(self.leave(children.swap_remove(due)))
    }

    /// Counts and tells that a child was replaced.
    pub(super) fn note_replaced(&self, child: &SharedChild, now: Instant) {
        let reason = child.wear.reason(&self.options.get(), now);
        self.guard.count_recycled(reason);
        tracing::info!(
            pid = ?child.pid(),
            reason = reason.as_str(),
            "a server process had its share and is replaced"
        );
    }

    /// Gives a child nothing new from now on. It goes in the next sweep in which it has nothing to do.
    pub(super) fn leave(&self, child: Arc<SharedChild>) -> Arc<SharedChild> {
        self.leaving.lock().push(child.clone());
        child
    }

    /// Ends the children that leave and have nothing more to do.
    fn see_off(&self, now: Instant) {
        let leaving = self.leaving.lock().clone();
        for child in leaving {
            // What it has may give somebody something to come back with: it is not closed before.
            let is_busy = child.load() > 0 || (child.is_taking() && self.is_awaited(&child, now));
            if is_busy || !child.finish() {
                continue;
            }
            self.leaving
                .lock()
                .retain(|other| !Arc::ptr_eq(other, &child));
            self.part(&child);
            drop(child);
            self.freed.notify_waiters(); // there is room for another one
        }
    }

    fn is_awaited(&self, child: &SharedChild, now: Instant) -> bool {
        let affinity = self.affinity.as_ref();
        affinity.is_some_and(|affinity| affinity.is_awaited(child.key(), now))
    }

    /// Ends a child in order, as soon as the last one lets go of it.
    pub(super) fn part(&self, child: &SharedChild) {
        if let Some(affinity) = &self.affinity {
            affinity.forget(child.key());
        }
        child.retire();
        child.end(replaced());
    }

    /// The most children at a time.
    fn limit(&self) -> usize {
        self.options.get().children() as usize
    }

    /// Whether one more may be started: those that are due make way for it.
    pub(super) fn may_start(&self) -> bool {
        let children = self.children.lock();
        let stay = children.iter().filter(|child| !child.is_due()).count();
        let open = children.len() + self.leaving.lock().len();
        stay < self.limit() && open < most_open(&self.options.get()) as usize
    }

    /// Where nobody serves, and those that leave have all the room, lets one of them go: the oldest that has nothing
    /// to do, or else the oldest that is dead, with what it has. Tells whether it did.
    pub(super) fn make_room(&self) -> bool {
        let children = self.children.lock();
        if !children.is_empty() {
            return false;
        }
        let mut leaving = self.leaving.lock();
        if leaving.len() < most_open(&self.options.get()) as usize {
            return false;
        }
        let idle = |child: &Arc<SharedChild>| child.load() == 0 && child.finish();
        let dead = |child: &Arc<SharedChild>| !child.is_alive();
        let at = leaving.iter().position(idle);
        let at = at.or_else(|| leaving.iter().position(dead));
        let gone = at.map(|at| leaving.remove(at));
        drop((children, leaving));
        gone.inspect(|gone| self.part(gone)).is_some()
    }

    /// Lets a child go that nobody needs, where there are more than there may be.
    pub(super) fn shed(&self) {
        let children = self.children.lock();
        if children.len() <= self.limit() {
            return;
        }
        if let Some(idle) = children.iter().position(|child| child.is_idle()) {
            self.let_go(children, idle);
        }
    }

    /// Lets all children go, and starts none until one is asked for.
    pub fn dismiss_all(&self) {
        let leaving = std::mem::take(&mut *self.leaving.lock());
        let children = std::mem::take(&mut *self.children.lock());
        for child in children.iter().chain(&leaving) {
            self.part(child);
        }
    }

    /// Makes room for their successors.
    pub(super) fn dismiss_dead(&self) {
        for child in self.serving() {
            if !child.is_alive() {
                self.dismiss(&child);
            }
        }
    }

    /// Takes a child that is dead, or takes nothing more, out of service; tells whether it was in it.
    pub(super) fn dismiss(&self, child: &Arc<SharedChild>) -> bool {
        let children = self.children.lock();
        let at = children.iter().position(|other| Arc::ptr_eq(other, child));
        at.map(|at| self.let_go(children, at)).is_some()
    }

    /// Ends a child that is out of service, or, where its upstream forgot the session, lets it leave: what is under way
    /// finds that out by itself.
    fn let_go(&self, mut children: impl DerefMut<Target = Vec<Arc<SharedChild>>>, at: usize) {
        let gone = children.swap_remove(at);
        if !gone.finish() {
            self.leave(gone);
            return;
        }
        drop(children);
        // Its lease goes back outside the lock; the pool sees whether it is dead.
        self.part(&gone);
    }
}

/// The most that may be open, those that leave included.
pub(super) fn most_open(options: &ServeOptions) -> u32 {
    let renews = options.max_uses.is_some()
        || options.max_lifetime.is_some()
        || matches!(options.upstream, Upstream::Http(_));
    options.children().saturating_mul(1 + u32::from(renews))
}
