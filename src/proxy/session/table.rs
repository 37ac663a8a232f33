//! All sessions, by id.
//!
//! Promise: an id cannot be guessed (128 random bits) and is not used twice; what left the table has
//! ended, and nothing begins once all were ended. Cost: a lookup takes one of sixteen short locks.

use crate::sync::Arc;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use crate::sync::Mutex;
use bytes::Bytes;
use tokio::time::Instant;

use super::missed::Missed;
use super::{Listeners, OwnedChild, Room, Session, Subscribers};
use crate::proxy::http::{ToolHeaders, Version};
use crate::proxy::peer::Strays;
use crate::proxy::wire::{Changes, Code, Fault};

const SHARDS: usize = 16;
/// Places of a table that are kept though nobody is there.
const KEPT_ROOM: usize = 64;

type Shard = Mutex<HashMap<Box<str>, Arc<Session>>>;

/// The sessions of one server.
pub struct SessionTable {
    /// Those who listen without a session.
    pub listeners: Listeners,
    /// Those who are subscribed to resources of shared children.
    pub subscribers: Subscribers,
    /// What the lists of tools, as clients got them, want to see in the heads of calls.
    pub tools: Arc<ToolHeaders>,
    /// What the server wrote that served nobody.
    pub strays: Arc<Strays>,
    /// What their streams keep for clients that come back.
    pub kept: Arc<Room>,
    missed: Mutex<Missed>,
    shards: [Shard; SHARDS],
    hasher: RandomState,
    began: Instant,
    next_key: AtomicU64,
    open: AtomicUsize,
    limit: AtomicUsize,
    closed: AtomicBool,
}

impl SessionTable {
    /// No sessions, and room for so many.
    pub fn new(limit: usize) -> Self {
        Self {
            listeners: Listeners::default(),
            subscribers: Subscribers::default(),
            tools: Arc::default(),
            strays: Arc::default(),
            kept: Arc::default(),
            missed: Mutex::default(),
            shards: std::array::from_fn(|_| Shard::default()),
            hasher: RandomState::new(),
            began: Instant::now(),
            next_key: AtomicU64::new(1),
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            closed: AtomicBool::new(false),
        }
    }

    /// Begins a session.
    ///
    /// # Errors
    ///
    /// [`Code::Busy`] if there are too many, or the system has no random numbers; [`Code::Closing`] once all
    /// were ended.
    pub fn begin(
        &self,
        version: Version,
        child: Option<OwnedChild>,
    ) -> Result<Arc<Session>, Fault> {
        // Relaxed: the limit is a bound on memory; a few more at once do no harm.
        let limit = self.limit.load(Ordering::Relaxed);
        if self.open.load(Ordering::Relaxed) >= limit {
            return Err(Fault::new(
                Code::Busy,
                format!("{limit} sessions are open, the limit; end one"),
            ));
        }
        let id = random_id()?;
        // Relaxed: only uniqueness matters.
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(key, id.clone(), version, child, &self.kept, self.now_ms());
        let session = Arc::new(session);
        let mut shard = self.shard(&id).lock();
        // Relaxed: read under the lock that `end_all` takes after it wrote: nobody slips in behind it.
        if self.closed.load(Ordering::Relaxed) {
            return Err(Fault::closing());
        }
        // Before it can be found, and ended. Relaxed: see above.
        self.open.fetch_add(1, Ordering::Relaxed);
        shard.insert(id, session.clone());
        Ok(session)
    }

    /// Finds a session and marks it as used; one whose child is gone is ended instead.
    pub fn find(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.shard(id).lock().get(id).cloned()?;
        if session.is_dead() {
            self.end(id);
            return None;
        }
        session.touch(self.now_ms());
        Some(session)
    }

    /// Ends a session: its streams end, its requests fail, its child is retired.
    pub fn end(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.shard(id).lock().remove(id)?;
        // Relaxed: see `begin`.
        self.open.fetch_sub(1, Ordering::Relaxed);
        session.end();
        // After the close of its way out: see `Subscribers::enter`.
        self.subscribers.leave_all(session.key);
        Some(session)
    }

    /// Ends the streams of every session, so that their connections can close.
    pub fn close_streams(&self) {
        self.listeners.close();
        for shard in &self.shards {
            let sessions: Vec<_> = shard.lock().values().cloned().collect();
            for session in sessions {
                session.outbox().close();
            }
        }
    }

    /// Ends every session; no other begins.
    pub fn end_all(&self) {
        self.closed.store(true, Ordering::Relaxed); // Relaxed: see `begin`.
        for id in self.pick(|_| true) {
            self.end(&id);
        }
    }

    /// Ends sessions that nobody used for so long, and those whose child is gone. Where little room is left for what
    /// streams keep, those that ended make some.
    pub fn sweep(&self, idle: Duration) {
        let now = self.now_ms();
        let oldest = now.saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        let is_crowded = self.kept.is_crowded();
        let over = |session: &Arc<Session>| {
            if is_crowded {
                session.replay.forget_ended();
            }
            // A request that is being served holds a reference; so does a page, for a moment, where there is a child.
            let is_held = Arc::strong_count(session) > 1;
            if session.is_in_use() || (is_held && session.child().is_none()) {
                session.touch(now); // it is unused from the end of that on
            }
            session.is_dead() || (!is_held && session.used_ms() < oldest)
        };
        for id in self.pick(over) {
            self.end(&id);
        }
        for shard in &self.shards {
            shrink(&mut *shard.lock());
        }
        self.subscribers.shrink();
    }

    /// Ends requests whose time is over, and gives up children that show no sign of life; says how many.
    pub fn expire(&self, now: Instant) -> usize {
        let mut given_up = 0;
        for session in self.owners() {
            if let Some(child) = session.child() {
                child.expire(now);
                given_up += usize::from(child.probe(now));
            }
        }
        given_up
    }

    /// Tells every session, and who listens without one, of the change of a list.
    pub fn tell_of_list(&self, message: &Bytes, method: &str) {
        let change = Changes::of(method);
        for shard in &self.shards {
            let sessions: Vec<_> = shard.lock().values().cloned().collect();
            for session in sessions {
                session.outbox().announce(message, change);
            }
        }
        self.listeners.tell(method);
    }

    /// Has those who are told of changes of these lists told that they may have missed some: now, or a while after they
    /// were told so last.
    pub fn miss(&self, lists: Changes, now: Instant) {
        self.missed.lock().add(lists);
        self.tell_missed(now);
    }

    /// Tells of what may have been missed, as far as the time for it has come.
    pub fn tell_missed(&self, now: Instant) {
        let due = self.missed.lock().take_due(now);
        for (method, message) in due.messages() {
            self.tell_of_list(&message, method);
        }
    }

    /// Sessions that are open.
    pub fn len(&self) -> usize {
        // Relaxed: a count for a page.
        self.open.load(Ordering::Relaxed)
    }

    /// Whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is the id of one.
    pub fn knows(&self, id: &str) -> bool {
        self.shard(id).lock().contains_key(id)
    }

    /// Lets so many be open; those that are stay.
    pub fn limit_to(&self, limit: usize) {
        // Relaxed: see `begin`.
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The sessions that have a child of their own.
    pub fn owners(&self) -> Vec<Arc<Session>> {
        let all = self
            .shards
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>());
        all.filter(|session| session.child().is_some()).collect()
    }

    /// In the order they began: what was allocated side by side is freed side by side. Freed in the order of a
    /// table, what threads keep of it for the next ones holds a page each (2 MB after 30,000 sessions).
    fn pick(&self, which: impl Fn(&Arc<Session>) -> bool) -> Vec<Box<str>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let picked = shard.values().filter(|session| which(session));
            found.extend(picked.map(|session| (session.key, session.id.clone())));
        }
        found.sort_unstable_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn shard(&self, id: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Gives back what a crowd needed once it left; some room stays for those who come next.
pub fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > KEPT_ROOM && map.len() < map.capacity() / 4 {
        let room = (map.len() * 2).max(KEPT_ROOM);
        map.shrink_to(room);
    }
}

fn random_id() -> Result<Box<str>, Fault> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|error| {
        Fault::new(
            Code::Busy,
            format!("no random numbers for a session id: {error}"),
        )
    })?;
    Ok(random
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into())
}
