//! When one more shared child is started, and how it comes into service.
//!
//! Promise: one starts at a time; those that are due make way for it, and no more are open than may be.
//! Cost: a look at every child (a handful).

use tokio::time::Instant;

use super::child::SharedChild;
use super::group::{Group, Picked};
use super::renewal::replaced;
use crate::proxy::options::{ServeOptions, Upstream};
use crate::proxy::wire::{Code, Fault};
use crate::sync::{Arc, Ordering};

/// The right to start a child; one at a time has it.
struct Turn(Arc<Group>);

impl Drop for Turn {
    fn drop(&mut self) {
        // Release: pairs with the AcqRel in `start_one`; who starts next sees the child of the last start.
        self.0.starting.store(false, Ordering::Release);
    }
}

impl Group {
    /// Starts one more child in the background, unless one is starting or the limit is reached.
    pub(super) fn start_one(self: &Arc<Self>) {
        if self.is_closed() || !(self.may_start() || self.make_room()) {
            return;
        }
        // AcqRel: pairs with the Release in the drop of a turn.
        if self.starting.swap(true, Ordering::AcqRel) {
            return;
        }
        let turn = Turn(self.clone());
        self.tasks.spawn(async move {
            let group = turn.0.clone();
            let failed = group.start().await.err();
            // Before the news: who hears it may start the next.
            drop(turn);
            let is_there = failed.is_none();
            group.starts.send_modify(|starts| {
                let failed = failed.map(|fault| (fault, Instant::now()));
                *starts = (starts.0 + 1, failed);
            });
            if is_there {
                group.fill();
            }
        });
    }

    /// Starts one more child where fewer serve than are to be kept ready.
    pub fn fill(self: &Arc<Self>) {
        self.shed();
        if self.children.lock().len() < self.options.get().min_idle as usize {
            self.start_one();
        }
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
    /// to do, or else the oldest session that its upstream forgot, with what it has. Tells whether it did.
    pub(super) fn make_room(&self) -> bool {
        let children = self.children.lock();
        if !children.is_empty() {
            return false;
        }
        let mut leaving = self.leaving.lock();
        if leaving.len() < most_open(&self.options.get()) as usize {
            return false;
        }
        let idle = |child: &Arc<SharedChild>| child.close_idle(replaced());
        // A process that is dead has nothing to do as soon as its last words were read.
        let lost = |child: &Arc<SharedChild>| !child.is_alive() && child.pid().is_none();
        let at = leaving.iter().position(idle);
        let at = at.or_else(|| leaving.iter().position(lost));
        let gone = at.map(|at| leaving.remove(at));
        drop((children, leaving));
        gone.inspect(|gone| self.part(gone)).is_some()
    }

    /// Lets a child go that has no request, where there are more than there may be.
    fn shed(&self) {
        let mut children = self.children.lock();
        if children.len() <= self.limit() {
            return;
        }
        let idle = |child: &Arc<SharedChild>| child.load() == 0;
        if let Some(at) = children.iter().position(idle) {
            self.leave(children.remove(at));
        }
    }

    /// One that had its share, where nobody else can be had.
    pub(super) fn worn_one(&self) -> Option<Picked> {
        // What failed long ago says nothing of the start that is under way.
        let lately = self.options.get().lately();
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

    async fn start(&self) -> Result<(), Fault> {
        if !self.may_start() {
            return Ok(());
        }
        let lease = self
            .pool
            .acquire()
            .await
            .map_err(|error| Fault::new(Code::NoChild, error.to_string()))?;
        let child = Arc::new(SharedChild::new(lease));
        let mut children = self.children.lock();
        // Under the lock that `close` takes: no child slips in behind it.
        let relieved = if self.is_closed() {
            None
        } else {
            let relieved = self.relieve(&mut children);
            // Limits that came while it started. Who brings others from now on finds it in service.
            child.tune(&self.options.get());
            children.push(child);
            relieved
        };
        drop(children);
        if let Some(relieved) = relieved {
            self.note_replaced(&relieved, Instant::now());
        }
        Ok(())
    }
}

/// The most that may be open, those that leave included.
pub(super) fn most_open(options: &ServeOptions) -> u32 {
    let renews = options.max_uses.is_some()
        || options.max_lifetime.is_some()
        || matches!(options.upstream, Upstream::Http(_));
    options.children().saturating_mul(1 + u32::from(renews))
}
