//! Which sessions are subscribed to which resource on shared children, and which child was asked for it.
//!
//! Promise: a change is told to the sessions that subscribed to this very name, once each, and to nobody else, for a
//! name may be what one client alone knows; the end of a
//! session takes back what it had; the table is bounded. What is asked of children for a resource is asked one
//! after the other, by whoever has its turn.
//! Cost: one lock for each change, subscription and end of a session; nothing for other messages.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tokio::time::Instant;

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
    told: Vec<Told>,
    holder: Option<Holder>,
}

/// A session that is told.
struct Told {
    key: u64,
    /// Its latest request for it: an earlier one that fails does not take it off.
    claim: u64,
    outbox: Outbox,
}

/// The child that was asked for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its key.
    pub child: u64,
    /// Whether it agreed; else it may have.
    pub is_sure: bool,
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
    /// Not before.
    pub until: Option<Instant>,
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
        entry.told.retain(|told| told.key != key);
        entry.told.is_empty().then(|| entry.topic.clone())
    }

    /// Takes a session off a resource, unless it asked for it again since this request.
    pub fn leave_claim(&self, key: u64, uri: &str, claim: u64) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(uri) else {
            return;
        };
        let before = entry.told.len();
        entry
            .told
            .retain(|told| (told.key, told.claim) != (key, claim));
        if entry.told.len() < before {
            table.forget_mine(key, uri);
        }
    }

    /// Takes a session off everything.
    pub fn leave_all(&self, key: u64) {
        let mut table = self.table.lock();
        for uri in table.mine.remove(&key).unwrap_or_default() {
            if let Some(entry) = table.entries.get_mut(&uri) {
                entry.told.retain(|told| told.key != key);
            }
        }
    }

    /// Tells those who are subscribed to this resource; `false`: nobody is.
    pub fn tell(&self, uri: &str, message: &Bytes) -> bool {
        if uri.len() > MAX_URI {
            return false;
        }
        let told: Vec<Outbox> = {
            let table = self.table.lock();
            if table.entries.is_empty() {
                return false;
            }
            let told = table.entries.get(uri).map(|entry| &entry.told);
            let told = told.into_iter().flatten();
            told.map(|told| told.outbox.clone()).collect()
        };
        for outbox in &told {
            outbox.send(message.clone());
        }
        !told.is_empty()
    }

    /// Whether the session is still under this topic.
    pub fn is_in(&self, topic: &Arc<Topic>, key: u64) -> bool {
        self.with(topic, |entry| entry.told.iter().any(|told| told.key == key))
            .unwrap_or(false)
    }

    /// Whether nobody is.
    pub fn is_vacant(&self, topic: &Arc<Topic>) -> bool {
        self.with(topic, |entry| entry.told.is_empty())
            .unwrap_or(true)
    }

    /// The child that was asked for it.
    pub fn holder(&self, topic: &Arc<Topic>) -> Option<Holder> {
        self.with(topic, |entry| entry.holder)?
    }

    /// Notes the child that was asked for it; returns the one before. For who has the turn.
    pub fn hold(&self, topic: &Arc<Topic>, holder: Option<Holder>) -> Option<Holder> {
        self.with(topic, |entry| std::mem::replace(&mut entry.holder, holder))?
    }

    /// Lets a topic go that has neither session nor child. For who has the turn.
    pub fn forget(&self, topic: &Arc<Topic>) {
        let is_over = |entry: &mut Entry| entry.told.is_empty() && entry.holder.is_none();
        let mut table = self.table.lock();
        if table.entry(topic).is_some_and(is_over) {
            table.entries.remove(&topic.uri);
        }
    }

    /// Topics whose child has to be told that nobody is left, or is none of `serving` any more.
    pub fn due(&self, serving: impl Fn() -> Vec<u64>) -> Vec<Arc<Topic>> {
        let table = self.table.lock();
        if table.entries.is_empty() {
            return Vec::new();
        }
        let serving = serving();
        let is_lost = |holder: Holder| holder.is_sure && !serving.contains(&holder.child);
        let entries = table.entries.values();
        entries
            .filter(|entry| entry.told.is_empty() || entry.holder.is_some_and(is_lost))
            .map(|entry| entry.topic.clone())
            .collect()
    }

    fn with<R>(&self, topic: &Arc<Topic>, look: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.table.lock().entry(topic).map(look)
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
                until: None,
                agreed: None,
            };
            let turn = Arc::new(tokio::sync::Mutex::new(pauses));
            Entry {
                topic: Arc::new(Topic { uri, turn }),
                told: Vec::new(),
                holder: None,
            }
        });
        let key = session.key;
        match entry.told.iter_mut().find(|told| told.key == key) {
            Some(told) => told.claim = claim,
            None => entry.told.push(Told {
                key,
                claim,
                outbox: session.outbox().clone(),
            }),
        }
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
