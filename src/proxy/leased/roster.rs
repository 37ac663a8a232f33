//! The children of `exclusive` mode by name: who has a request, who is waited for, and who shows signs of life.
//!
//! Promise: a child that is waited for goes to who waits longest as soon as its request ends clean, and after that the
//! pool has its turn, so that neither those who wait for this child nor those who wait for any keep the others from it for
//! ever. Who waits for one that is gone, or is not used again, learns of it. One that is idle and silent is asked for a
//! sign of life; one that has a request never is.
//! Cost: a short lock to enter and one to leave; a look at every child in each sweep.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::proxy::http::Version;
use crate::proxy::shared::{ChildRouter, Handshaken, Pulse, SharedChild};
use crate::sync::{Arc, Mutex, OnceLock, Weak};
use crate::{Pool, PoolableResource, WeakPool};

/// All that were started and are not gone.
#[derive(Default)]
pub struct Roster {
    members: Mutex<HashMap<u64, Member>>,
    /// By revision; they end with the mode, not with what is in flight.
    pools: OnceLock<Vec<WeakPool<Handshaken>>>,
}

struct Member {
    vitals: Arc<Vitals>,
    /// While it has a request.
    busy: Option<Arc<SharedChild>>,
    heirs: VecDeque<Heir>,
}

/// What is known of a child whoever has it.
struct Vitals {
    asked: Version,
    pid: Option<u32>,
    router: Arc<ChildRouter>,
    pulse: Arc<Pulse>,
}

/// A child for a request, and its place among those that have one, which is left after it.
pub type Seated = (Arc<SharedChild>, Place);

/// Who waits for one child.
type Heir = oneshot::Sender<Seated>;

impl Vitals {
    /// Whether a client is served by it whose children are asked for this revision.
    fn may_serve(&self, asked: Version) -> bool {
        self.asked == asked && !self.router.is_stained()
    }
}

impl Member {
    /// Who is next, of those who still wait.
    fn next_heir(&mut self) -> Option<Heir> {
        while let Some(heir) = self.heirs.pop_front() {
            if !heir.is_closed() {
                return Some(heir);
            }
        }
        None
    }
}

/// A child's name in the roster, for as long as it lives.
struct Enrolled {
    roster: Weak<Roster>,
    key: u64,
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        let Some(roster) = self.roster.upgrade() else {
            return;
        };
        let gone = roster.members.lock().remove(&self.key);
        drop(gone); // outside the lock: who waits for it is woken
    }
}

/// A child's place among those that have a request.
pub struct Place {
    roster: Weak<Roster>,
    key: u64,
    /// Whoever has it waited for this very child: next it is the pool's turn.
    is_inherited: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(roster) = self.roster.upgrade() {
            roster.leave(self.key, self.is_inherited);
        }
    }
}

impl Roster {
    /// Says where those that are idle are.
    pub fn watch<'a>(&self, pools: impl Iterator<Item = &'a Pool<Handshaken>>) {
        let _ = self.pools.set(pools.map(Pool::downgrade).collect());
    }

    /// Enters a child that was started.
    pub fn enrol(self: &Arc<Self>, asked: Version, child: &mut Handshaken) {
        let key = child.router.key;
        child.kept = Some(Box::new(Enrolled {
            roster: Arc::downgrade(self),
            key,
        }));
        let vitals = Vitals {
            asked,
            pid: child.peer.pid(),
            router: child.router.clone(),
            pulse: child.pulse.clone(),
        };
        let member = Member {
            vitals: Arc::new(vitals),
            busy: None,
            heirs: VecDeque::new(),
        };
        self.members.lock().insert(key, member);
    }

    /// Takes down that a child has a request.
    pub fn enter(self: &Arc<Self>, child: SharedChild) -> Seated {
        let child = Arc::new(child);
        if let Some(member) = self.members.lock().get_mut(&child.key()) {
            member.busy = Some(child.clone());
        }
        let place = self.place(child.key(), false);
        (child, place)
    }

    fn place(self: &Arc<Self>, key: u64, is_inherited: bool) -> Place {
        Place {
            roster: Arc::downgrade(self),
            key,
            is_inherited,
        }
    }

    fn leave(self: &Arc<Self>, key: u64, was_inherited: bool) {
        let mut members = self.members.lock();
        let Some(member) = members.get_mut(&key) else {
            return;
        };
        let Some(child) = member.busy.clone() else {
            return;
        };
        let heir = match child.is_clean() && !was_inherited {
            true => member.next_heir(),
            false => None,
        };
        if let Some(heir) = heir {
            drop(members);
            // Not taken, it is left once more.
            return drop(heir.send((child, self.place(key, true))));
        }
        let busy = member.busy.take();
        drop(members);
        // Outside the lock: the lease goes back. Where the pool does not keep the child, its end is told to who waits.
        drop((child, busy));
        self.serve(key);
    }

    /// Waits for a child, which is one of those that were asked for this revision; `None`: it is gone.
    pub fn await_child(&self, key: u64, asked: Version) -> Option<oneshot::Receiver<Seated>> {
        let mut members = self.members.lock();
        let member = members.get_mut(&key)?;
        member.vitals.may_serve(asked).then(|| {
            let (heir, turn) = oneshot::channel();
            member.heirs.retain(|heir| !heir.is_closed());
            member.heirs.push_back(heir);
            turn
        })
    }

    /// Gives a child that is idle to who waits for it.
    pub fn serve(self: &Arc<Self>, key: u64) {
        let pool = {
            let members = self.members.lock();
            let member = members.get(&key);
            let awaited = member.filter(|member| member.busy.is_none() && !member.heirs.is_empty());
            awaited.and_then(|member| self.pool(member.vitals.asked))
        };
        let Some(Ok(lease)) =
            pool.map(|pool| pool.try_acquire_where(|child| child.router.key == key))
        else {
            return;
        };
        let (child, mut place) = self.enter(SharedChild::new(lease));
        place.is_inherited = true;
        let heir = {
            let mut members = self.members.lock();
            members.get_mut(&key).and_then(Member::next_heir)
        };
        let seated = (child, place); // dropped in this order
        if let Some(heir) = heir {
            drop(heir.send(seated)); // as in `leave`
        }
    }

    fn pool(&self, asked: Version) -> Option<Pool<Handshaken>> {
        self.pools.get()?.get(asked as usize)?.upgrade()
    }

    /// Those that have a request.
    pub fn busy(&self) -> Vec<Arc<SharedChild>> {
        let members = self.members.lock();
        let busy = members.values().filter_map(|member| member.busy.clone());
        busy.collect()
    }

    /// Looks at those that have no request. Gives up those that show no sign of life, and tells how many.
    pub fn sweep(self: &Arc<Self>, now: Instant) -> usize {
        let (mut idle, mut awaited) = (Vec::new(), Vec::new());
        for (key, member) in self.members.lock().iter() {
            if member.busy.is_none() {
                idle.push(member.vitals.clone());
                if !member.heirs.is_empty() {
                    // It was on its way to somebody who then did not take it, or just looked at.
                    awaited.push(*key);
                }
            }
        }
        for key in awaited {
            self.serve(key);
        }
        idle.retain(|child| child.pulse.look(&child.router, now));
        for child in &idle {
            tracing::warn!(
                pid = ?child.pid,
                "a server process that waits for requests does not answer and is ended"
            );
            if let Some(pool) = self.pool(child.asked) {
                pool.retain(|child, _| child.is_healthy());
            }
        }
        idle.len()
    }
}
