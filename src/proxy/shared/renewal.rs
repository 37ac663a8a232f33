//! How shared children that work make way for others: they had their share of requests or of time, or the
//! upstream forgot their session.
//!
//! Promise: one that is due serves until its successor does; then it gets nothing new, ends what it has, and goes.
//! Subscriptions move to another child as at a death. While no successor can be started it goes on serving. As
//! many may leave at a time as may serve; a child that a client may come back to waits for that, unless nobody
//! else could serve then. Nobody's request is ended because a child that works makes way.
//! Cost: a look at every child in each sweep.

use tokio::time::Instant;

use super::child::SharedChild;
use super::group::Group;
use super::starting::most_open;
use crate::proxy::wire::{Code, Fault};
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
            // A request that was meant for it before it left may come yet: then it waits for that one, too.
            let is_awaited = child.is_alive() && self.is_awaited(&child, now);
            if is_awaited || !child.close_idle(replaced()) {
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
        let mut children = self.children.lock();
        let at = children.iter().position(|other| Arc::ptr_eq(other, child));
        let Some(gone) = at.map(|at| children.swap_remove(at)) else {
            return false;
        };
        if !gone.close_idle(replaced()) {
            // Its upstream forgot the session: what is under way finds that out by itself.
            self.leave(gone);
            return true;
        }
        drop(children);
        // Its lease goes back outside the lock; the pool sees that it is dead and retires it.
        self.part(&gone);
        true
    }
}

/// What is said where a child that makes way has nothing more for anybody.
pub(super) fn replaced() -> Fault {
    let text = "the server process is replaced by another one; send the request again";
    Fault::new(Code::ChildDied, text)
}
