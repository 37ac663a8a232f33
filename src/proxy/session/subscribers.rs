//! Which sessions are subscribed to which resource on shared children, and which child tells of it.
//!
//! Promise: a change is told to the sessions that subscribed to this very name, and to nobody else, for a
//! name may be what one client alone knows. One child's word counts at a time, whoever else tells of it: so a change
//! comes once. The end of a session takes back what it had; the table is bounded. What is asked of children for a
//! resource is asked one after the other, by whoever has its turn.
//! Cost: one lock for each change, subscription and end of a session; nothing for other messages.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::table::shrink;
use super::{Outbox, Session};
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Backoff;
use crate::sync::{Arc, AtomicUsize, Mutex};

/// Resources that one session may be subscribed to.
pub const MAX_OF_SESSION: usize = 256;
/// Resources that all sessions may be subscribed to.
const MAX_OF_ALL: usize = 10_000;
/// Bytes of the longest name of a resource.
const MAX_URI: usize = 2048;

/// Those who are subscribed.
#[derive(Default)]
pub struct Subscribers {
    table: Mutex<Table>,
    /// Tasks that bring the children in line with it.
    pub settling: AtomicUsize,
    /// Requests of clients that are under way, some of them for clients that left.
    pub errands: AtomicUsize,
}

#[derive(Default)]
struct Table {
    /// By name; one without sessions stays until its child was told.
    entries: HashMap<Arc<str>, Entry>,
    /// What each session has.
    mine: HashMap<u64, HashSet<Arc<str>>>,
    /// Requests to subscribe so far.
    claims: u64,
}

struct Entry {
    topic: Arc<Topic>,
    /// By the session's key.
    told: HashMap<u64, Told>,
    /// The child that agreed to tell of it, and whose word counts.
    holder: Option<u64>,
    /// The one that is being asked to. Its word counts where nobody else's does: it may tell before its answer is seen.
    asked: Option<u64>,
    /// Those that may tell of it, too, until they were asked not to.
    others: Vec<u64>,
    /// Another one is not asked before.
    until: Option<Instant>,
}

/// A session that is told.
struct Told {
    /// Its latest request for it: an earlier one that fails does not take it off.
    claim: u64,
    /// It was told that this is so: a later request that is not answered does not take it off.
    is_agreed: bool,
    outbox: Outbox,
}

/// What a child said that was asked for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It tells of it.
    Yes,
    /// It does not, or was not asked after all.
    No,
    /// Nothing in time: it may.
    Nothing,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Resources that somebody is subscribed to.
    pub resources: usize,
    /// Subscriptions of sessions to them.
    pub subscriptions: usize,
    /// Resources among them that no child tells of now.
    pub untold: usize,
}

/// A resource that somebody is subscribed to.
pub struct Topic {
    /// Its name.
    pub uri: Arc<str>,
    /// The right to ask a child for it, or not to tell of it any more.
    pub turn: Arc<tokio::sync::Mutex<Pauses>>,
}

/// When a child is asked again that refused, or was not there.
pub struct Pauses {
    /// The pauses.
    pub backoff: Backoff,
    /// When one that was asked again agreed.
    pub agreed: Option<Instant>,
}

impl Subscribers {
    /// Notes a session under a resource, before a child is asked for it; also the number of this request.
    ///
    /// # Errors
    ///
    /// A bound is reached, or the session is over.
    pub fn enter(
        &self,
        session: &Session,
        uri: &str,
        pauses: Backoff,
    ) -> Result<(Arc<Topic>, u64), Fault> {
        if uri.len() > MAX_URI {
            let text =
                format!("the `uri` is longer than {MAX_URI} bytes; none can be subscribed to");
            return Err(Fault::new(Code::BadParams, text));
        }
        let mut table = self.table.lock();
        // Under the lock that `leave_all` takes after the close: a session that is over leaves nothing behind.
        if session.outbox().is_closed() {
            let text = "the session was ended; initialize a new one";
            return Err(Fault::new(Code::SessionEnded, text));
        }
        table.check_room(session.key, uri)?;
        Ok(table.enter(session, uri, pauses))
    }

    /// Takes a session off a resource; the topic, if nobody is left there.
    pub fn leave(&self, key: u64, uri: &str) -> Option<Arc<Topic>> {
        let mut table = self.table.lock();
        if !table.forget_mine(key, uri) {
            return None;
        }
        let entry = table.entries.get_mut(uri)?;
        entry.told.remove(&key);
        entry.told.is_empty().then(|| entry.topic.clone())
    }

    /// Takes a session off a resource, unless it asked for it again since this request; where this one was not
    /// refused, but failed, it stays as far as it was on it before.
    pub fn leave_claim(&self, key: u64, uri: &str, claim: u64, is_refused: bool) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(uri) else {
            return;
        };
        let told = entry.told.get(&key);
        if told.is_some_and(|told| told.claim == claim && (is_refused || !told.is_agreed)) {
            entry.told.remove(&key);
            table.forget_mine(key, uri);
        }
    }

    /// Notes that the session is told that it is on it.
    pub fn agree(&self, topic: &Arc<Topic>, key: u64) {
        self.with(topic, |entry| {
            if let Some(told) = entry.told.get_mut(&key) {
                told.is_agreed = true;
            }
        });
    }

    /// Whether another child is to be asked later.
    pub fn is_early(&self, topic: &Arc<Topic>, now: Instant) -> bool {
        self.with(topic, |entry| entry.is_early(now))
            .unwrap_or(false)
    }

    /// Has no other child asked for it before that.
    pub fn pause(&self, topic: &Arc<Topic>, until: Option<Instant>) {
        self.with(topic, |entry| entry.until = until);
    }

    /// Takes a session off everything.
    pub fn leave_all(&self, key: u64) {
        let mut table = self.table.lock();
        for uri in table.mine.remove(&key).unwrap_or_default() {
            if let Some(entry) = table.entries.get_mut(&uri) {
                entry.told.remove(&key);
            }
        }
    }

    /// Gives back the room that a crowd needed.
    pub fn shrink(&self) {
        let mut table = self.table.lock();
        shrink(&mut table.entries);
        shrink(&mut table.mine);
        for entry in table.entries.values_mut() {
            shrink(&mut entry.told);
        }
    }

    /// Tells those who are subscribed to this resource what a child says; `false`: nobody is, or its word does not count.
    pub fn tell(&self, uri: &str, child: u64, message: &Bytes) -> bool {
        if uri.len() > MAX_URI {
            return false;
        }
        let told = {
            let table = self.table.lock();
            let entry = table.entries.get(uri);
            entry
                .filter(|entry| entry.heeds(child))
                .map(Entry::outboxes)
        };
        let told = told.unwrap_or_default();
        send(&told, message);
        !told.is_empty()
    }

    /// Tells them that it changed, as far as anybody knows.
    pub fn announce(&self, topic: &Arc<Topic>) {
        let told = self.with(topic, |entry| entry.outboxes());
        send(&told.unwrap_or_default(), &changed(&topic.uri));
    }

    /// The same of all that this child tells of.
    pub fn announce_all(&self, child: u64) {
        let topics: Vec<_> = {
            let table = self.table.lock();
            let entries = table.entries.values();
            let heeded = entries.filter(|entry| entry.heeds(child));
            heeded.map(|entry| entry.topic.clone()).collect()
        };
        for topic in topics {
            self.announce(&topic);
        }
    }

    /// Whether the session is still under this topic.
    pub fn is_in(&self, topic: &Arc<Topic>, key: u64) -> bool {
        self.with(topic, |entry| entry.told.contains_key(&key))
            .unwrap_or(false)
    }

    /// The child that tells of it.
    pub fn holder(&self, topic: &Arc<Topic>) -> Option<u64> {
        self.with(topic, |entry| entry.holder)?
    }

    /// Those that may tell of it, too.
    pub fn others(&self, topic: &Arc<Topic>) -> Vec<u64> {
        self.with(topic, |entry| entry.others.clone())
            .unwrap_or_default()
    }

    /// Notes that a child is being asked for it. For who has the turn.
    pub fn ask(&self, topic: &Arc<Topic>, child: u64) {
        self.with(topic, |entry| entry.asked = Some(child));
    }

    /// Notes what the child said; returns the one that told of it before, if that is another. For who has the turn.
    pub fn answered(&self, topic: &Arc<Topic>, child: u64, said: Said) -> Option<u64> {
        self.with(topic, |entry| {
            entry.asked = None;
            match said {
                Said::No => None,
                Said::Nothing => {
                    entry.suspect(child);
                    None
                }
                Said::Yes => {
                    entry.others.retain(|other| *other != child);
                    let before = entry.holder.replace(child);
                    let before = before.filter(|before| *before != child);
                    before.inspect(|before| entry.suspect(*before))
                }
            }
        })?
    }

    /// Where nobody is left, has the child that tells of it be one of those that need not; whether that is so.
    pub fn release(&self, topic: &Arc<Topic>) -> bool {
        let released = self.with(topic, |entry| {
            let is_vacant = entry.told.is_empty();
            if is_vacant && let Some(holder) = entry.holder.take() {
                entry.suspect(holder);
            }
            is_vacant
        });
        released.unwrap_or(true)
    }

    /// Notes that a child does not tell of it any more, as far as that can be known. For who has the turn.
    pub fn acquit(&self, topic: &Arc<Topic>, child: u64) {
        self.with(topic, |entry| entry.others.retain(|other| *other != child));
    }

    /// Lets a topic go that has neither session nor child. For who has the turn.
    pub fn forget(&self, topic: &Arc<Topic>) {
        let is_over = |entry: &mut Entry| {
            entry.told.is_empty() && entry.holder.is_none() && entry.others.is_empty()
        };
        let mut table = self.table.lock();
        if table.entry(topic).is_some_and(is_over) {
            table.entries.remove(&topic.uri);
        }
    }

    /// Topics that some child has to be asked for, or not to tell of; the more urgent ones last.
    pub fn due(&self, serving: &[u64], now: Instant) -> Vec<Arc<Topic>> {
        let table = self.table.lock();
        let (mut due, mut lost) = (Vec::new(), Vec::new());
        for entry in table.entries.values() {
            let is_vacant = entry.told.is_empty();
            if !is_vacant && !entry.is_early(now) && entry.is_lost(serving) {
                lost.push(entry.topic.clone());
            } else if is_vacant || !entry.others.is_empty() {
                due.push(entry.topic.clone());
            }
        }
        due.append(&mut lost);
        due
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.table.lock().entries.is_empty()
    }

    /// How much there is; a look at every resource.
    pub fn extent(&self, serving: &[u64]) -> Extent {
        let table = self.table.lock();
        let mut extent = Extent::default();
        let entries = table.entries.values();
        for entry in entries.filter(|entry| !entry.told.is_empty()) {
            extent.resources += 1;
            extent.subscriptions += entry.told.len();
            extent.untold += usize::from(entry.holder.is_none() || entry.is_lost(serving));
        }
        extent
    }

    fn with<R>(&self, topic: &Arc<Topic>, look: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.table.lock().entry(topic).map(look)
    }
}

impl Entry {
    /// Whether this child's word counts.
    fn heeds(&self, child: u64) -> bool {
        self.holder.or(self.asked) == Some(child)
    }

    /// Whether the child that told of it serves no more.
    fn is_lost(&self, serving: &[u64]) -> bool {
        self.holder.is_some_and(|holder| !serving.contains(&holder))
    }

    fn is_early(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Has a child asked not to tell of it.
    fn suspect(&mut self, child: u64) {
        if self.holder != Some(child) && !self.others.contains(&child) {
            self.others.push(child);
        }
    }

    fn outboxes(&self) -> Vec<Outbox> {
        let told = self.told.values();
        told.map(|told| told.outbox.clone()).collect()
    }
}

fn changed(uri: &str) -> Bytes {
    let method = "notifications/resources/updated";
    let message = json!({"jsonrpc": "2.0", "method": method, "params": {"uri": uri}});
    message.to_string().into()
}

/// Outside the lock: it wakes tasks.
fn send(told: &[Outbox], message: &Bytes) {
    for outbox in told {
        outbox.send(message.clone());
    }
}

impl Table {
    fn check_room(&self, key: u64, uri: &str) -> Result<(), Fault> {
        let mine = self.mine.get(&key);
        if mine.is_some_and(|mine| mine.len() >= MAX_OF_SESSION && !mine.contains(uri)) {
            let text = format!(
                "the session is subscribed to {MAX_OF_SESSION} resources, the limit; unsubscribe from one"
            );
            return Err(Fault::new(Code::Busy, text));
        }
        if self.entries.len() >= MAX_OF_ALL && !self.entries.contains_key(uri) {
            let text = format!(
                "{MAX_OF_ALL} resources are subscribed to, the limit of all clients; try again later"
            );
            return Err(Fault::new(Code::Busy, text));
        }
        Ok(())
    }

    fn enter(&mut self, session: &Session, uri: &str, backoff: Backoff) -> (Arc<Topic>, u64) {
        self.claims += 1;
        let claim = self.claims;
        let known = self.entries.get_key_value(uri).map(|(uri, _)| uri.clone());
        let uri = known.unwrap_or_else(|| uri.into());
        self.mine
            .entry(session.key)
            .or_default()
            .insert(uri.clone());
        let entry = self.entries.entry(uri.clone()).or_insert_with(|| {
            let pauses = Pauses {
                backoff,
                agreed: None,
            };
            let turn = Arc::new(tokio::sync::Mutex::new(pauses));
            Entry {
                topic: Arc::new(Topic { uri, turn }),
                told: HashMap::new(),
                holder: None,
                asked: None,
                others: Vec::new(),
                until: None,
            }
        });
        let told = entry.told.entry(session.key).or_insert_with(|| Told {
            claim,
            is_agreed: false,
            outbox: session.outbox().clone(),
        });
        told.claim = claim;
        (entry.topic.clone(), claim)
    }

    /// Whether the session had it.
    fn forget_mine(&mut self, key: u64, uri: &str) -> bool {
        let Some(mine) = self.mine.get_mut(&key) else {
            return false;
        };
        let had = mine.remove(uri);
        if mine.is_empty() {
            self.mine.remove(&key);
        }
        had
    }

    /// The entry of this very topic: there may be another one of the same name by now.
    fn entry(&mut self, topic: &Arc<Topic>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&topic.uri)?;
        Arc::ptr_eq(&entry.topic, topic).then_some(entry)
    }
}
