//! The requests in flight on one shared child, by the id that the child sees.
//!
//! Promise: an id is not used again while a late answer could still name it; two clients' equal ids
//! never meet. A subscription takes no place of a request. Cost: one short lock to enter and one to leave; nothing is allocated once warm.

use crate::sync::Arc;
use crate::sync::{AtomicUsize, Ordering};

use crate::sync::Mutex;
use tokio::time::Instant;

use crate::proxy::call::{Flight, Manner, Owner};
use crate::proxy::options::{MAX_IN_FLIGHT, MAX_LISTENING};
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::{Deadline, Timeouts};

/// Low bits of an id: the place in the table. The rest counts the uses of the place.
///
/// | bits   | meaning                              |
/// |--------|--------------------------------------|
/// | 0..14  | index of the slot                    |
/// | 14..53 | how often the slot was used, from 1  |
const INDEX_BITS: u32 = 14;
/// Children written in languages whose numbers are floats keep 53 bits.
const ID_LIMIT: u64 = 1 << 53;

const _: () = assert!(MAX_IN_FLIGHT + MAX_LISTENING <= 1 << INDEX_BITS);

/// The table.
#[derive(Debug)]
pub struct Flights {
    table: Mutex<Table>,
    count: AtomicUsize,
    listening: AtomicUsize,
    limit: AtomicUsize,
    most_listening: usize,
}

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
    end: Option<Fault>,
    /// Whose requests the child had; of several clients, or of one that cannot be told from others: nobody's.
    had: Option<Owner>,
    /// Those of the next request.
    limits: Timeouts,
}

#[derive(Debug)]
struct Slot {
    uses: u64,
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    flight: Arc<Flight>,
    deadline: Deadline,
    limits: Timeouts,
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Refused {
    /// The child is at its limit.
    Full,
    /// The child is gone.
    Over(Fault),
    /// It is not taken anywhere.
    Never(Fault),
}

impl Flights {
    /// A table with room for so many, which have these times.
    pub fn new(limit: usize, limits: Timeouts) -> Self {
        Self {
            table: Mutex::new(Table {
                limits,
                ..Table::default()
            }),
            count: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit.min(MAX_IN_FLIGHT)),
            most_listening: MAX_LISTENING,
        }
    }

    /// Takes no more subscriptions than this.
    pub fn listening_to(mut self, most: usize) -> Self {
        self.most_listening = most.min(MAX_LISTENING);
        self
    }

    /// Enters a request and names the id that the child is to see.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn insert(&self, flight: &Arc<Flight>, deadline: Deadline) -> Result<u64, Refused> {
        let mut table = self.table.lock();
        if listens(flight) {
            let most = self.most_listening;
            if self.listening() >= most {
                let text = format!("{most} subscriptions are open on a server process; end one");
                return Err(Refused::Never(Fault::new(Code::Busy, text)));
            }
        } else if !self.has_room() && table.end.is_none() {
            return Err(Refused::Full);
        }
        let had = *table.had.get_or_insert(flight.owner);
        if had != flight.owner {
            table.had = Some(Owner::Nobody);
        }
        self.enter(&mut table, flight, deadline)
    }

    /// The same for a question of the proxy's own, which comes before there are requests, and may be beside another.
    ///
    /// # Errors
    ///
    /// [`Refused::Over`].
    pub fn insert_beyond(&self, flight: &Arc<Flight>, deadline: Deadline) -> Result<u64, Refused> {
        self.enter(&mut self.table.lock(), flight, deadline)
    }

    fn enter(
        &self,
        table: &mut Table,
        flight: &Arc<Flight>,
        deadline: Deadline,
    ) -> Result<u64, Refused> {
        if let Some(fault) = &table.end {
            return Err(Refused::Over(fault.clone()));
        }
        let index = table.free.pop().unwrap_or_else(|| {
            table.slots.push(Slot {
                uses: 0,
                entry: None,
            });
            table.slots.len() - 1
        });
        let slot = &mut table.slots[index];
        slot.uses = if (slot.uses + 1) << INDEX_BITS < ID_LIMIT {
            slot.uses + 1
        } else {
            1
        };
        slot.entry = Some(Entry {
            flight: flight.clone(),
            deadline,
            limits: table.limits,
        });
        let id = slot.uses << INDEX_BITS | index as u64;
        self.shift(flight, 1);
        Ok(id)
    }

    /// Takes a request out.
    pub fn take(&self, id: u64) -> Option<Arc<Flight>> {
        let mut table = self.table.lock();
        let entry = table.slot(id)?.entry.take()?;
        table.free.push(index_of(id));
        self.shift(&entry.flight, -1);
        Some(entry.flight)
    }

    /// Finds a request.
    pub fn get(&self, id: u64) -> Option<Arc<Flight>> {
        let mut table = self.table.lock();
        Some(table.slot(id)?.entry.as_ref()?.flight.clone())
    }

    /// Finds a request and starts its clock again.
    pub fn renew(&self, id: u64, now: Instant) -> Option<Arc<Flight>> {
        let mut table = self.table.lock();
        let entry = table.slot(id)?.entry.as_mut()?;
        entry.deadline.progress(&entry.limits, now);
        Some(entry.flight.clone())
    }

    /// The only request in flight, of a session that alone had any: what the child is still at work on is that one's.
    pub fn sole(&self) -> Option<Arc<Flight>> {
        let table = self.table.lock();
        if !matches!(table.had, Some(Owner::Session(_))) {
            return None;
        }
        let entries = table.slots.iter().filter_map(|slot| slot.entry.as_ref());
        let mut flights = entries.filter(|entry| !listens(&entry.flight));
        let first = flights.next()?;
        flights.next().is_none().then(|| first.flight.clone())
    }

    /// Takes out the requests that this owner sent with this id: it may have used it twice.
    pub fn take_owned(&self, owner: Owner, request: &RequestId) -> Vec<(u64, Arc<Flight>)> {
        self.take_where(|entry| entry.flight.is_of(owner, request))
    }

    /// Takes out the requests whose time is over.
    pub fn take_expired(&self, now: Instant) -> Vec<(u64, Arc<Flight>)> {
        self.take_where(|entry| entry.deadline.expires() <= now)
    }

    /// Takes nothing more in.
    pub fn close(&self, fault: Fault) {
        self.table.lock().end.get_or_insert(fault);
    }

    /// Takes nothing more in, unless a request is in flight; says whether that is so.
    pub fn close_idle(&self, fault: Fault) -> bool {
        let mut table = self.table.lock();
        let is_idle = self.len() == 0;
        if is_idle {
            table.end.get_or_insert(fault);
        }
        is_idle
    }

    /// Takes all out, and nothing more in.
    pub fn end(&self, fault: Fault) -> Vec<Arc<Flight>> {
        self.close(fault);
        let taken = self.take_where(|_| true).into_iter();
        taken.map(|(_, flight)| flight).collect()
    }

    /// Subscriptions that are open.
    pub fn listening(&self) -> usize {
        // Relaxed: a bound on memory, and a count for a page.
        self.listening.load(Ordering::Relaxed)
    }

    /// Whether one more request is taken.
    pub fn has_room(&self) -> bool {
        // Relaxed: see `len`; a limit that is read late is that of a moment before.
        self.len() < self.limit.load(Ordering::Relaxed)
    }

    /// Lets so many be in flight from now on, with these times; those that are stay, and keep theirs.
    pub fn tune(&self, limit: usize, limits: Timeouts) {
        self.table.lock().limits = limits;
        // Relaxed: see `has_room`.
        self.limit
            .store(limit.min(MAX_IN_FLIGHT), Ordering::Relaxed);
    }

    /// Requests in flight, subscriptions left out.
    pub fn len(&self) -> usize {
        // Relaxed: picks the child with the least to do; a stale value picks another one.
        self.count.load(Ordering::Relaxed)
    }

    fn take_where(&self, which: impl Fn(&Entry) -> bool) -> Vec<(u64, Arc<Flight>)> {
        let mut table = self.table.lock();
        let mut taken = Vec::new();
        let Table { slots, free, .. } = &mut *table;
        for (index, slot) in slots.iter_mut().enumerate() {
            if let Some(entry) = slot.entry.take_if(|entry| which(entry)) {
                free.push(index);
                self.shift(&entry.flight, -1);
                taken.push((slot.uses << INDEX_BITS | index as u64, entry.flight));
            }
        }
        taken
    }

    /// Counts under the table's lock.
    fn shift(&self, flight: &Flight, by: isize) {
        let count = if listens(flight) {
            &self.listening
        } else {
            &self.count
        };
        // Relaxed: see `len`; the limits are looked at under the lock that every change is made under.
        count.fetch_add(by as usize, Ordering::Relaxed);
    }
}

fn listens(flight: &Flight) -> bool {
    flight.manner == Manner::Listening
}

impl Table {
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index_of(id))?;
        (slot.uses == id >> INDEX_BITS).then_some(slot)
    }
}

fn index_of(id: u64) -> usize {
    (id & ((1 << INDEX_BITS) - 1)) as usize
}
