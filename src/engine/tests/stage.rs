//! A host for the engine's tests: no clock, no runtime; dials are left on a table.

use crate::engine::permit::Permit;
use crate::engine::{Body, Commons, Fairness, Handle, Host, IdleOrder, Lease, Settings, Ticket};
use crate::sync::{Arc, AtomicU32, AtomicU64, Mutex, Ordering};
use crate::time::Tick;

/// What is pooled: nothing.
pub(super) struct Item;

/// Dials asked for go here, for the test to finish.
pub(super) struct Stage {
    pub(super) dials: Mutex<Vec<Ticket<Item, Stage>>>,
    pub(super) retired: AtomicU32,
    /// How often the last permit of a closed pool came back.
    pub(super) drained: AtomicU32,
    /// Milliseconds since the start.
    pub(super) time: AtomicU64,
}

impl Stage {
    pub(super) fn pass_time(&self, millis: u64) {
        // Relaxed: a number on its own.
        self.time.fetch_add(millis, Ordering::Relaxed);
    }
}

pub(super) type TestBody = Body<Item, Stage>;
pub(super) type TestLease = Lease<Item, Stage>;
pub(super) type TestTicket = Ticket<Item, Stage>;

impl Host<Item> for Stage {
    type Failure = u32;

    fn now(&self) -> Tick {
        // Relaxed: as above.
        Tick::from_millis(self.time.load(Ordering::Relaxed))
    }

    fn keeps(&self, _: &Item) -> bool {
        true
    }

    fn keeps_all(&self) -> bool {
        true
    }

    fn returned(lease: TestLease) {
        let body = Arc::clone(lease.body());
        if body.is_closed() || lease.is_doomed() || std::thread::panicking() {
            // Relaxed: counted for the test, read after joins.
            body.host().retired.fetch_add(1, Ordering::Relaxed);
            drop(lease.retire());
        } else {
            lease.stamp(Tick::from_millis(0));
            lease.put();
        }
    }

    fn evicted(lease: TestLease) {
        // Relaxed: as above.
        lease.body().host().retired.fetch_add(1, Ordering::Relaxed);
        drop(lease.retire());
    }

    fn dial(ticket: TestTicket) -> Result<(), u32> {
        let Some(body) = ticket.body().map(Arc::clone) else {
            return Ok(());
        };
        body.host().dials.lock().push(ticket);
        Ok(())
    }

    fn abandoned(body: &Arc<TestBody>) {
        close(body);
    }

    fn drained(&self) {
        // Relaxed: counted for the test, on its thread.
        self.drained.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pool of at most `limit` with `idle` of them open.
pub(super) fn pool(limit: u32, idle: u32, fairness: Fairness) -> Handle<Item, Stage> {
    build(None, IdleOrder::Affine, limit, idle, fairness)
}

/// As `pool`, with an order of its own.
#[cfg(plunge_loom)]
pub(super) fn pool_ordered(
    order: IdleOrder,
    limit: u32,
    idle: u32,
    fairness: Fairness,
) -> Handle<Item, Stage> {
    build(None, order, limit, idle, fairness)
}

/// As `pool`, with permits from the commons and one hot place, as a keyed pool has it.
#[cfg(any(plunge_loom, feature = "keyed"))]
pub(super) fn pool_in(
    commons: Option<Arc<Commons<Item, Stage>>>,
    limit: u32,
    idle: u32,
    fairness: Fairness,
) -> Handle<Item, Stage> {
    build(commons, IdleOrder::Affine, limit, idle, fairness)
}

fn build(
    commons: Option<Arc<Commons<Item, Stage>>>,
    order: IdleOrder,
    limit: u32,
    idle: u32,
    fairness: Fairness,
) -> Handle<Item, Stage> {
    let settings = Settings {
        limit,
        ceiling: limit,
        order,
        workers: if commons.is_some() { 1 } else { 2 },
        max_connecting: 2,
        max_waiters: u32::MAX,
        fairness,
    };
    let stage = Stage {
        dials: Mutex::new(Vec::new()),
        retired: AtomicU32::new(0),
        drained: AtomicU32::new(0),
        time: AtomicU64::new(0),
    };
    let body = Arc::new(Body::new(settings, stage, commons));
    body.tick().store(Tick::from_millis(0));
    for _ in 0..idle {
        drop(open(&body));
    }
    Handle::first(body)
}

/// As the pool does: no more takes, waiters told, idle ones retired.
pub(super) fn close(body: &Arc<TestBody>) {
    drop(body.shut());
    while let Some(lease) = body.take_idle() {
        drop(lease);
    }
    // Dials under way are given up.
    let dials = std::mem::take(&mut *body.host().dials.lock());
    drop(dials);
}

/// Finishes one dial that was asked for.
pub(super) fn finish_dial(body: &Arc<TestBody>) {
    let ticket = body.host().dials.lock().pop();
    if let Some(ticket) = ticket.and_then(Ticket::unless_surplus) {
        let next = ticket.serve(Item, Tick::from_millis(0));
        body.host().dials.lock().extend(next);
    }
}

/// Opens a connection that nobody dialled.
pub(super) fn open(body: &Arc<TestBody>) -> TestLease {
    assert!(body.try_take_permit(), "a free permit");
    let permit = Permit::adopt(Arc::clone(body));
    Body::install(permit, Item, body.generation(), Tick::from_millis(0))
}
