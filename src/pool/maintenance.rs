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

use super::agenda::Agenda;
use super::care;
use super::deadline::timeout_at;
use super::guarded;
use super::retire;
use super::runtime::NoRuntime;
use super::shared::{Body, Lease, Permit};
use super::watchdog;
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU32, AtomicU64, Mutex, Ordering, Weak};
use crate::time::{Tick, TickWord, uptime_millis};

/// How often the coarse clock moves.
const TICK: Duration = Duration::from_millis(100);

/// How long after its time a shift is given up: its runtime is not driven.
const GRACE: Duration = Duration::from_millis(200);

/// What was left to maintenance, and whether it runs.
pub(crate) struct Maintenance<T: Send + 'static> {
    desk: Mutex<Desk<T>>,
    /// Wakes the present shift; each has its own, so that none takes the call for another.
    wake: ArcSwap<Notify>,
    /// Upkeep is due, whatever the time.
    requested: AtomicBool,
    /// An idle connection was found dead: the others are suspect.
    suspicion: AtomicBool,
    /// Until when a shift is on time, in milliseconds; 0: none attends.
    on_time_until: AtomicU64,
    /// The real time of the last look around; see `watchdog`.
    beat: AtomicU64,
    watched: AtomicBool,
    pub(super) recycling: AtomicU32,
    pub(super) closing: AtomicU32,
}

/// Connections to be closed, and connections to be shown to their hook.
pub(super) type Work<T> = (Vec<(T, Permit<T>)>, Vec<Lease<T>>);

struct Desk<T: Send + 'static> {
    running: bool,
    /// Counts the tasks that attended, for a late one to see that it was replaced.
    shift: u64,
    /// When the task is to look around next.
    due: Tick,
    graveyard: Vec<(T, Permit<T>)>,
    recycle: Vec<Lease<T>>,
}

impl<T: Send + 'static> Maintenance<T> {
    pub(crate) fn new() -> Self {
        let desk = Desk {
            running: false,
            shift: 0,
            due: Tick::NEVER,
            graveyard: Vec::new(),
            recycle: Vec::new(),
        };
        Self {
            desk: Mutex::new(desk),
            wake: ArcSwap::from_pointee(Notify::new()),
            requested: AtomicBool::new(false),
            suspicion: AtomicBool::new(false),
            on_time_until: AtomicU64::new(0),
            beat: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            recycling: AtomicU32::new(0),
            closing: AtomicU32::new(0),
        }
    }

    pub(crate) fn wake(&self) {
        self.wake.load().notify_one();
    }

    /// Asks for upkeep at once: something was doomed, or the settings changed.
    pub(crate) fn request(&self, now: Tick) {
        // Relaxed: the wake-up that follows synchronizes.
        self.requested.store(true, Ordering::Relaxed);
        self.expect(now);
    }

    /// Wakes the shift; if nobody drives its runtime any more, the next miss after a grace replaces it.
    fn expect(&self, now: Tick) {
        let mut desk = self.desk.lock();
        self.hurry(&mut desk, now);
        drop(desk);
        self.wake();
    }

    fn hurry(&self, desk: &mut Desk<T>, now: Tick) {
        let due = desk.due.min(now);
        self.set_due(desk, due);
    }

    pub(super) fn take_request(&self) -> bool {
        // Relaxed: as above.
        self.requested.swap(false, Ordering::Relaxed)
    }

    /// An idle connection was found dead or was doomed: has the others looked at soon.
    pub(crate) fn suspect(&self, now: Tick) {
        // Relaxed: the wake-up that follows synchronizes. A crowd that finds many dead wakes once.
        if !self.has_suspicion() && !self.suspicion.swap(true, Ordering::Relaxed) {
            self.expect(now);
        }
    }

    pub(super) fn has_suspicion(&self) -> bool {
        // Relaxed: as above.
        self.suspicion.load(Ordering::Relaxed)
    }

    pub(super) fn clear_suspicion(&self) {
        // Relaxed: as above.
        self.suspicion.store(false, Ordering::Relaxed);
    }

    /// Whether a task attends.
    pub(crate) fn is_attended(&self) -> bool {
        let desk = self.desk.lock();
        if !desk.running {
            // Relaxed, under the lock: the next shift begins under it, and asks after that to be watched again.
            self.watched.store(false, Ordering::Relaxed);
        }
        desk.running
    }

    /// Whether the last look around is longer ago than a tick and `more`.
    pub(crate) fn is_late(&self, more: Duration) -> bool {
        // Relaxed: a number on its own.
        let last = self.beat.load(Ordering::Relaxed);
        u128::from(uptime_millis().saturating_sub(last)) > (TICK + more).as_millis()
    }

    /// Runs something while the desk is locked.
    #[cfg(test)]
    pub(super) fn locked<R>(&self, run: impl FnOnce() -> R) -> R {
        let _desk = self.desk.lock();
        run()
    }

    /// Begins a shift, unless one is on time.
    fn begin_shift(&self, now: Tick, anyway: bool) -> Option<u64> {
        let mut desk = self.desk.lock();
        if desk.running && !anyway && now < desk.due.after(GRACE) {
            return None;
        }
        desk.running = true;
        desk.shift += 1;
        self.set_due(&mut desk, now);
        self.wake.store(Arc::new(Notify::new()));
        Some(desk.shift)
    }

    fn set_due(&self, desk: &mut Desk<T>, due: Tick) {
        desk.due = due;
        let until = if desk.running {
            due.after(GRACE).as_millis()
        } else {
            0
        };
        // Relaxed: a hint for `ensure`; the desk is what counts.
        self.on_time_until.store(until, Ordering::Relaxed);
    }

    /// Says when the shift looks around next; `false`: it was replaced.
    fn stay_until(&self, shift: u64, due: Tick) -> bool {
        let mut desk = self.desk.lock();
        if desk.shift == shift {
            self.set_due(&mut desk, due);
        }
        // Relaxed: a number on its own.
        self.beat.store(uptime_millis(), Ordering::Relaxed);
        desk.shift == shift
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
        let now = kept
            .as_ref()
            .map_or(Tick::NEVER, |body| body.host().clock.now());
        let mut desk = self.desk.lock();
        if desk.running {
            // Relaxed: a number for the statistics.
            self.closing.fetch_add(1, Ordering::Relaxed);
            desk.graveyard.push((value, permit));
            self.hurry(&mut desk, now);
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
        let now = kept.host().clock.now();
        let mut desk = self.desk.lock();
        if desk.running {
            // Relaxed: a number for the statistics.
            self.recycling.fetch_add(1, Ordering::Relaxed);
            desk.recycle.push(lease);
            self.hurry(&mut desk, now);
            drop(desk);
            self.wake();
        } else {
            drop(desk);
            retire::bury(lease);
        }
        drop(kept);
    }

    pub(super) fn take_work(&self) -> Work<T> {
        let mut desk = self.desk.lock();
        (
            std::mem::take(&mut desk.graveyard),
            std::mem::take(&mut desk.recycle),
        )
    }

    /// Ends the shift if there is nothing on the desk, or if it was replaced.
    fn leave(&self, shift: u64, clock: &TickWord) -> bool {
        let mut desk = self.desk.lock();
        if desk.shift != shift {
            return true;
        }
        let idle = desk.graveyard.is_empty() && desk.recycle.is_empty();
        if idle {
            desk.running = false;
            self.set_due(&mut desk, Tick::NEVER);
            // Under the lock: nobody sets the clock going when nobody is there to advance it.
            clock.store(Tick::NEVER);
        }
        idle
    }

    /// Ends the shift, unless it was replaced, and returns what was left to it.
    fn abandon(&self, shift: u64, clock: &TickWord) -> Work<T> {
        let mut desk = self.desk.lock();
        if desk.shift != shift || !desk.running {
            return (Vec::new(), Vec::new());
        }
        desk.running = false;
        self.set_due(&mut desk, Tick::NEVER);
        clock.store(Tick::NEVER);
        (
            std::mem::take(&mut desk.graveyard),
            std::mem::take(&mut desk.recycle),
        )
    }
}

/// Starts maintenance, unless it runs and is on time. Called on a miss.
pub(crate) fn ensure<T: Send + 'static>(body: &Arc<Body<T>>, now: Tick) -> Result<(), NoRuntime> {
    let shared = body.host();
    let maintenance = &shared.maintenance;
    // Relaxed: a hint, as in `set_due`. A miss takes no lock for it.
    if now.as_millis() < maintenance.on_time_until.load(Ordering::Relaxed) {
        return Ok(());
    }
    if body.is_forked() {
        // It is the parent's, which maintains it.
        return Ok(());
    }
    let seat = |shift| Seat {
        body: Arc::downgrade(body),
        shift,
    };
    let Some(shift) = maintenance.begin_shift(now, false) else {
        return Ok(());
    };
    // From here on a drop ends the shift, also where there is no runtime to ask.
    let mut first = Some(seat(shift));
    shared.runtimes.spawn(|| {
        // The second time the first runtime dropped the task, which ended its shift.
        let again = || maintenance.begin_shift(shared.clock.now(), true).map(seat);
        let seat = first.take().or_else(again)?;
        Some(attend(seat, maintenance.wake.load_full()))
    })
}

/// Sets the clock going, if somebody is there to keep it going.
pub(crate) fn wake_clock<T: Send + 'static>(body: &Body<T>, now: Tick) {
    let maintenance = &body.host().maintenance;
    let mut desk = maintenance.desk.lock();
    // Under the lock: a shift that ends puts the clock to sleep under it, too.
    let woken = desk.running && body.tick().wake(now);
    if woken {
        maintenance.hurry(&mut desk, now);
    }
    drop(desk);
    if woken {
        maintenance.wake();
    }
}

/// The task's place. Dropped with it, in whatever way it ends.
struct Seat<T: Send + 'static> {
    body: Weak<Body<T>>,
    shift: u64,
}

impl<T: Send + 'static> Drop for Seat<T> {
    fn drop(&mut self) {
        let Some(body) = self.body.upgrade() else {
            return;
        };
        let maintenance = &body.host().maintenance;
        let (graves, leases) = maintenance.abandon(self.shift, body.tick());
        // Nobody advances the clock any more: whoever waits sees to its own time.
        body.rouse();
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

async fn attend<T: Send + 'static>(seat: Seat<T>, wake: Arc<Notify>) {
    let (mut seen, mut moved, mut agenda) = (u64::MAX, false, Agenda::new());
    if let Some(body) = seat.body.upgrade() {
        body.host().telemetry.begin();
        watch(&body);
    }
    loop {
        let until = {
            let Some(body) = seat.body.upgrade() else {
                return;
            };
            let shared = body.host();
            if !shared
                .maintenance
                .stay_until(seat.shift, shared.clock.now())
            {
                return;
            }
            care::dispatch(&body);
            let due = agenda.attend(&body, moved).await;
            let activity = activity(&body);
            moved = std::mem::replace(&mut seen, activity) != activity;
            // Whoever waits counts on the next tick.
            let ticking = (moved || body.queue().waiting > 0) && !body.is_closed();
            shared.telemetry.publish(|| shared.stats(&body));
            let now = shared.clock.now();
            body.tick().store(if ticking { now } else { Tick::NEVER });
            // After the store: a waiter that still saw the clock going is in line by now.
            let waits = body.rouse();
            let unneeded = body.is_closed() || shared.tuning.load().min_idle == 0;
            if !ticking
                && !waits
                && unneeded
                && body.capacity().open() == 0
                && shared.maintenance.leave(seat.shift, body.tick())
            {
                return;
            }
            let next = if ticking || waits {
                now.after(TICK).min(due)
            } else {
                due
            };
            if !shared.maintenance.stay_until(seat.shift, next) {
                return;
            }
            shared.clock.instant(next)
        };
        match until {
            // A wake-up, the next tick or the next deadline, whichever is first.
            Some(until) => drop(timeout_at(until, None, wake.notified()).await),
            None => wake.notified().await,
        }
    }
}

/// Has the clock watched: its runtime may stand still.
fn watch<T: Send + 'static>(body: &Arc<Body<T>>) {
    // Relaxed: one caller wins.
    if !body
        .host()
        .maintenance
        .watched
        .swap(true, Ordering::Relaxed)
    {
        watchdog::watch(body);
    }
}

/// A number that changes when connections are used, opened or retired.
fn activity<T: Send + 'static>(body: &Body<T>) -> u64 {
    let counters = &body.host().counters;
    let uses = body.uses().wrapping_add(counters.retired_uses.get());
    uses.wrapping_add(counters.opened.get())
        .wrapping_add(counters.retired.get())
}
