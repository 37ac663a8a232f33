//! Maintenance: one task per pool that does what nobody should wait for.
//!
//! It advances the coarse clock while the pool is used, starts the closing of retired connections
//! and runs async release hooks. It holds the pool weakly, sleeps when there is nothing to do, and
//! is started again by the next acquire that finds nothing idle.
//!
//! Promise: it never awaits user code itself, so one slow close delays nothing else; when its
//! runtime is shut down, what was left to it is dropped in place.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::deadline::timeout_at;
use super::guarded;
use super::hooks::{Hook, Verdict};
use super::probation::Probation;
use super::retire;
use super::runtime::NoRuntime;
use super::shared::{Body, Lease, Permit};
use super::upkeep;
use crate::sync::{Arc, AtomicBool, AtomicU32, Mutex, Ordering, Weak};
use crate::time::{Tick, TickWord};

/// How often the coarse clock moves.
const TICK: Duration = Duration::from_millis(100);

/// What was left to maintenance, and whether it runs.
pub(crate) struct Maintenance<T: Send + 'static> {
    desk: Mutex<Desk<T>>,
    wake: Arc<Notify>,
    /// Upkeep is due, whatever the time.
    requested: AtomicBool,
    recycling: AtomicU32,
    closing: AtomicU32,
}

struct Desk<T: Send + 'static> {
    running: bool,
    graveyard: Vec<(T, Permit<T>)>,
    recycle: Vec<Lease<T>>,
}

impl<T: Send + 'static> Maintenance<T> {
    pub(crate) fn new() -> Self {
        Self {
            desk: Mutex::new(Desk {
                running: false,
                graveyard: Vec::new(),
                recycle: Vec::new(),
            }),
            wake: Arc::new(Notify::new()),
            requested: AtomicBool::new(false),
            recycling: AtomicU32::new(0),
            closing: AtomicU32::new(0),
        }
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Asks for upkeep at once: something was doomed, or the settings changed.
    pub(crate) fn request(&self) {
        // Relaxed: the wake-up that follows synchronizes.
        self.requested.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn take_request(&self) -> bool {
        // Relaxed: as above.
        self.requested.swap(false, Ordering::Relaxed)
    }

    /// Connections in a release hook, and connections being closed.
    pub(crate) fn in_care(&self) -> (u32, u32) {
        // Relaxed: numbers for the statistics.
        (
            self.recycling.load(Ordering::Relaxed),
            self.closing.load(Ordering::Relaxed),
        )
    }

    /// Leaves a retired connection to be closed; without a task it is dropped here.
    pub(crate) fn bury(&self, value: T, permit: Permit<T>) {
        let kept = permit.body().map(Arc::clone);
        let mut desk = self.desk.lock();
        if desk.running {
            // Relaxed: a number for the statistics.
            self.closing.fetch_add(1, Ordering::Relaxed);
            desk.graveyard.push((value, permit));
            drop(desk);
            self.wake();
        } else {
            drop(desk);
            let _ = guarded::call("drop", || drop(value));
            drop(permit);
        }
        // The body outlives this call, whatever the permit kept.
        drop(kept);
    }

    /// Leaves a returned connection to its hook; without a task it is retired.
    pub(crate) fn recycle(&self, lease: Lease<T>) {
        let kept = Arc::clone(lease.body());
        let mut desk = self.desk.lock();
        if desk.running {
            // Relaxed: a number for the statistics.
            self.recycling.fetch_add(1, Ordering::Relaxed);
            desk.recycle.push(lease);
            drop(desk);
            self.wake();
        } else {
            drop(desk);
            retire::bury(lease);
        }
        drop(kept);
    }

    fn take_work(&self) -> (Vec<(T, Permit<T>)>, Vec<Lease<T>>) {
        let mut desk = self.desk.lock();
        (
            std::mem::take(&mut desk.graveyard),
            std::mem::take(&mut desk.recycle),
        )
    }

    /// Ends the shift if there is nothing on the desk.
    fn leave(&self, clock: &TickWord) -> bool {
        let mut desk = self.desk.lock();
        let idle = desk.graveyard.is_empty() && desk.recycle.is_empty();
        if idle {
            desk.running = false;
            // Under the lock: nobody sets the clock going when nobody is there to advance it.
            clock.store(Tick::NEVER);
        }
        idle
    }

    /// Ends the shift and returns what was left.
    fn abandon(&self) -> (Vec<(T, Permit<T>)>, Vec<Lease<T>>) {
        let mut desk = self.desk.lock();
        desk.running = false;
        (
            std::mem::take(&mut desk.graveyard),
            std::mem::take(&mut desk.recycle),
        )
    }
}

/// Starts maintenance unless it runs. Called on a miss.
pub(crate) fn ensure<T: Send + 'static>(body: &Arc<Body<T>>) -> Result<(), NoRuntime> {
    let maintenance = &body.host().maintenance;
    if std::mem::replace(&mut maintenance.desk.lock().running, true) {
        return Ok(());
    }
    let mut seat = Some(Seat {
        body: Arc::downgrade(body),
        left: false,
    });
    body.host().runtimes.spawn(|| {
        let seat = seat.take().unwrap_or_else(|| {
            // The first runtime dropped its task, and so the seat: take another one.
            maintenance.desk.lock().running = true;
            Seat {
                body: Arc::downgrade(body),
                left: false,
            }
        });
        Some(attend(seat, Arc::clone(&maintenance.wake)))
    })
}

/// Sets the clock going, if somebody is there to keep it going.
pub(crate) fn wake_clock<T: Send + 'static>(body: &Body<T>, now: Tick) {
    let maintenance = &body.host().maintenance;
    let desk = maintenance.desk.lock();
    // Under the lock: a shift that ends puts the clock to sleep under it, too.
    let woken = desk.running && body.tick().wake(now);
    drop(desk);
    if woken {
        maintenance.wake();
    }
}

/// The task's place. Dropped with it, in whatever way it ends.
struct Seat<T: Send + 'static> {
    body: Weak<Body<T>>,
    left: bool,
}

impl<T: Send + 'static> Drop for Seat<T> {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let Some(body) = self.body.upgrade() else {
            return;
        };
        let maintenance = &body.host().maintenance;
        let (graves, leases) = maintenance.abandon();
        body.tick().store(Tick::NEVER);
        // Relaxed: numbers for the statistics.
        maintenance
            .closing
            .fetch_sub(graves.len() as u32, Ordering::Relaxed);
        maintenance
            .recycling
            .fetch_sub(leases.len() as u32, Ordering::Relaxed);
        for (value, permit) in graves {
            let _ = guarded::call("drop", || drop(value));
            drop(permit);
        }
        leases.into_iter().for_each(retire::bury);
    }
}

async fn attend<T: Send + 'static>(mut seat: Seat<T>, wake: Arc<Notify>) {
    let (mut seen, mut due) = (u64::MAX, Tick::from_millis(0));
    loop {
        let until = {
            let Some(body) = seat.body.upgrade() else {
                return;
            };
            let shared = body.host();
            dispatch(&body);
            let now = shared.clock.now();
            if now >= due || shared.maintenance.take_request() {
                due = upkeep::run(&body, now).await;
            } else {
                upkeep::refill(&body, &shared.tuning());
            }
            let activity = activity(&body);
            let ticking = std::mem::replace(&mut seen, activity) != activity && !body.is_closed();
            body.tick().store(if ticking {
                shared.clock.now()
            } else {
                Tick::NEVER
            });
            let empty = body.capacity().open() == 0
                && (body.is_closed() || shared.tuning.load().min_idle == 0);
            if !ticking && empty && shared.maintenance.leave(body.tick()) {
                seat.left = true;
                return;
            }
            if ticking {
                Some(Instant::now() + TICK)
            } else {
                shared.clock.instant(due)
            }
        };
        match until {
            // A wake-up, the next tick or the next deadline, whichever is first.
            Some(until) => drop(timeout_at(until, None, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}

/// A number that changes when connections are used, opened or retired.
fn activity<T: Send + 'static>(body: &Body<T>) -> u64 {
    let counters = &body.host().counters;
    let uses = body.uses().wrapping_add(counters.retired_uses.get());
    uses.wrapping_add(counters.opened.get())
        .wrapping_add(counters.retired.get())
}

/// Starts a task for each connection that waits for a close or a hook.
fn dispatch<T: Send + 'static>(body: &Arc<Body<T>>) {
    let (graves, leases) = body.host().maintenance.take_work();
    for (value, permit) in graves {
        let grave = Grave {
            body: Arc::clone(body),
            permit: Some(permit),
        };
        tokio::spawn(close(grave, value));
    }
    for lease in leases {
        let care = Care {
            body: Arc::clone(body),
            probation: Some(Probation::new(lease)),
        };
        tokio::spawn(recycle(care));
    }
}

/// Closes one connection. Its permit is freed when it is closed, overdue or given up.
async fn close<T: Send + 'static>(grave: Grave<T>, value: T) {
    let shared = grave.body.host();
    let until = shared.deadline(shared.tuning.load().close_timeout);
    let _ = guarded::run("close", until, || shared.manager.close(value)).await;
    drop(grave);
}

struct Grave<T: Send + 'static> {
    body: Arc<Body<T>>,
    permit: Option<Permit<T>>,
}

impl<T: Send + 'static> Drop for Grave<T> {
    fn drop(&mut self) {
        // Relaxed: a number for the statistics.
        self.body
            .host()
            .maintenance
            .closing
            .fetch_sub(1, Ordering::Relaxed);
        drop(self.permit.take());
    }
}

/// A connection in its async release hook: dropped half way, it is retired.
struct Care<T: Send + 'static> {
    body: Arc<Body<T>>,
    probation: Option<Probation<T>>,
}

impl<T: Send + 'static> Drop for Care<T> {
    fn drop(&mut self) {
        // Relaxed: a number for the statistics.
        self.body
            .host()
            .maintenance
            .recycling
            .fetch_sub(1, Ordering::Relaxed);
        drop(self.probation.take());
    }
}

async fn recycle<T: Send + 'static>(mut care: Care<T>) {
    let body = Arc::clone(&care.body);
    let shared = body.host();
    let tuning = shared.tuning();
    let (Some(Hook::Async(hook)), Some(probation)) =
        (&tuning.hooks.after_release, &mut care.probation)
    else {
        return;
    };
    let metadata = shared.metadata(probation.lease(), shared.clock.now());
    let until = shared.deadline(tuning.hook_timeout);
    let verdict = guarded::run("after_release", until, || {
        hook(probation.lease_mut().value_mut(), &metadata)
    })
    .await;
    // Otherwise the drop of `care` retires it, after it stopped counting as recycling.
    if let Ok(Ok(Verdict::Keep)) = verdict
        && let Some(probation) = care.probation.take()
    {
        let lease = probation.pass();
        drop(care);
        match body.is_closed() {
            true => retire::bury(lease),
            false => retire::put(&body, lease),
        }
    }
}
