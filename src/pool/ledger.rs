//! The ledger: who holds a connection since when, for pools that were asked to know.
//!
//! Promise: a lease is entered when it goes to its caller and struck out when it ends, however it
//! ends; each that is held for too long is reported once. Cost: nothing on a hit of a pool without
//! `leak_after`. With it, a hit takes a longer way, and acquire and release one locked instruction
//! more each.

use std::cmp::Reverse;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::guarded;
use super::handle::Pool;
use super::metadata::ResourceMetadata;
use super::shared::{Body, Lease, Tenant};
use super::tuning::PoolTuning;
use crate::engine::{Caller, Place};
use crate::sync::{Mutex, OnceLock};
use crate::time::Tick;

/// How soon maintenance looks again at the earliest.
const SOONEST: Duration = Duration::from_millis(100);

/// A connection that a caller holds: since when, and where it was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What is known of the connection; `held` is since when.
    pub metadata: ResourceMetadata,
    /// Where it was acquired; known in pools with
    /// [`leak_after`](super::PoolOptions::leak_after).
    pub acquired_at: Option<&'static Location<'static>>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held for {:?}", self.metadata.held)?;
        match self.acquired_at {
            Some(place) => write!(f, ", acquired at {place}"),
            None => Ok(()),
        }
    }
}

/// Code that is told of a lease held for too long.
pub(crate) type LeakHook = Box<dyn Fn(&Holder) + Send + Sync>;

/// Which lease a report was about: slot, tenant and use.
type Key = (u32, Tick, u64);

pub(crate) struct Ledger {
    slots: usize,
    /// One place per slot; made when the first lease is entered.
    places: OnceLock<Box<[Place]>>,
    /// Leases that were reported and are held still.
    reported: Mutex<Vec<Key>>,
}

impl Ledger {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            slots: slots as usize,
            places: OnceLock::new(),
            reported: Mutex::new(Vec::new()),
        }
    }

    /// Enters a lease that goes to its caller now. The mark in its slot makes its end be seen.
    pub(crate) fn enter<T: Send + 'static>(&self, lease: &Lease<T>, caller: Caller) {
        let empty = || (0..self.slots).map(|_| Place::nowhere()).collect();
        if let Some(place) = self.places.get_or_init(empty).get(lease.number() as usize) {
            place.set(caller);
            lease.note(true);
        }
    }

    fn place(&self, number: u32) -> Option<Caller> {
        self.places.get()?.get(number as usize)?.get()
    }
}

/// What is known of whoever holds the connection in a slot.
pub(crate) fn holder<T: Send + 'static>(
    body: &Body<T>,
    tenant: &Tenant<'_, T>,
    now: Tick,
) -> Holder {
    let place = || body.host().ledger.place(tenant.number());
    Holder {
        metadata: ResourceMetadata {
            age: now.since(tenant.created()),
            idle: Duration::ZERO,
            held: now.since(tenant.since()),
            uses: tenant.uses(),
            generation: tenant.generation(),
        },
        acquired_at: tenant.is_noted().then(place).flatten(),
    }
}

/// All who hold a connection that is in the ledger.
fn holders<T: Send + 'static>(body: &Body<T>, now: Tick) -> impl Iterator<Item = (Key, Holder)> {
    let noted = body.tenants().filter(Tenant::is_noted);
    noted.map(move |tenant| {
        let key = (tenant.number(), tenant.created(), tenant.uses());
        (key, holder(body, &tenant, now))
    })
}

/// Reports each lease that is held for longer than `leak_after` and was not reported yet; tells when
/// to look again. Called by maintenance.
pub(crate) fn report<T: Send + 'static>(body: &Body<T>, tuning: &PoolTuning<T>, now: Tick) -> Tick {
    let shared = body.host();
    let Some(limit) = tuning.leak_after else {
        return Tick::NEVER;
    };
    // What is acquired from now on is not overdue before that.
    let mut next = limit;
    let (mut overdue, mut new) = (Vec::new(), Vec::new());
    let before = std::mem::take(&mut *shared.ledger.reported.lock());
    for (key, holder) in holders(body, now) {
        if holder.metadata.held < limit {
            next = next.min(limit - holder.metadata.held);
            continue;
        }
        overdue.push(key);
        if !before.contains(&key) {
            new.push(holder);
        }
    }
    *shared.ledger.reported.lock() = overdue;
    for holder in &new {
        shared.counters.leaks.add(1);
        shared.telemetry.leaked(holder);
        if let Some(hook) = &tuning.hooks.on_leak {
            let _ = guarded::call("on_leak", || hook(holder));
        }
    }
    now.after(next.max(SOONEST))
}

impl<T: Send + 'static> Pool<T> {
    /// Those who hold a connection for longer than
    /// [`leak_after`](super::PoolOptions::leak_after) at this moment, the longest first. Empty
    /// where that is not set.
    ///
    /// # Cost
    ///
    /// A look at every slot.
    pub fn leaks(&self) -> Vec<Holder> {
        let body = self.body();
        let Some(limit) = body.host().tuning.load().leak_after else {
            return Vec::new();
        };
        let held = holders(body, body.host().clock.now()).map(|(_, holder)| holder);
        let mut overdue = held
            .filter(|holder| holder.metadata.held >= limit)
            .collect::<Vec<_>>();
        overdue.sort_by_key(|holder| Reverse(holder.metadata.held));
        overdue
    }
}
