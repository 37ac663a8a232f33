//! What all handles of a pool share beside the engine: settings, manager, hooks, counters.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::ConnectBackoff;
use super::dial;
use super::error::{AcquireError, AcquireErrorKind, SharedError};
use super::guarded;
use super::ledger::Ledger;
use super::maintenance::Maintenance;
use super::manager::AnyManager;
use super::metadata::ResourceMetadata;
use super::options::PoolOptions;
use super::retire;
use super::runtime::Runtimes;
use super::stats::{Counters, PoolStats};
use super::telemetry::{Begun, Telemetry};
use super::tuning::PoolTuning;
use super::watches::Watches;
use crate::engine::{self, Host};
use crate::sync::{
    Arc, ArcSwap, ArcSwapOption, AtomicBool, AtomicU64, CachePadded, Mutex, Ordering,
};
use crate::time::{Clock, Tick};

pub(crate) type Body<T> = engine::Body<T, Shared<T>>;
pub(crate) type Lease<T> = engine::Lease<T, Shared<T>>;
pub(crate) type Permit<T> = engine::Permit<T, Shared<T>>;
pub(crate) type Tenant<'a, T> = engine::Tenant<'a, T, Shared<T>>;
pub(crate) type Ticket<T> = engine::Ticket<T, Shared<T>>;

/// Why a waiter gets no connection.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Connect(SharedError),
    NoRuntime,
}

pub(crate) struct Shared<T: Send + 'static> {
    // Read on every hit.
    /// Idle for less, a connection is handed out without another look; 0 where a hook looks.
    plain_idle_millis: AtomicU64,
    tests_health: bool,
    /// No health test and no hook: what was put just now is handed out.
    admits_all: AtomicBool,
    /// No health test and no hook: what comes back is kept.
    keeps_all: AtomicBool,
    // Read on slow paths.
    /// Leases are entered in the ledger.
    enters: AtomicBool,
    greets: AtomicBool,
    /// After how long idle a connection is checked.
    check_after_millis: AtomicU64,
    /// How long an acquire may take, in nanoseconds.
    acquire_timeout: AtomicU64,
    /// After how long an acquire is slow; `u64::MAX`: never.
    slow_millis: AtomicU64,
    pub(crate) closes_async: bool,
    pub(crate) watches: Option<Watches<T>>,
    pub(crate) tuning: ArcSwap<PoolTuning<T>>,
    /// Held while the settings are applied; no user code runs under it.
    pub(crate) tuner: Mutex<()>,
    pub(crate) clock: Clock,
    pub(crate) manager: Box<dyn AnyManager<T>>,
    pub(crate) runtimes: Runtimes,
    pub(crate) backoff: ConnectBackoff,
    pub(crate) maintenance: Maintenance<T>,
    pub(crate) ledger: Ledger,
    pub(crate) telemetry: Telemetry,
    pub(crate) last_error: ArcSwapOption<SharedError>,
    /// The pool was closed.
    pub(crate) closing: Notify,
    /// Closed, and every permit is back.
    pub(crate) drained: Notify,
    /// A dial ended, well or not.
    pub(crate) dialled: Notify,
    pub(crate) counters: CachePadded<Counters>,
}

impl<T: Send + 'static> Shared<T> {
    pub(crate) fn new(
        options: PoolOptions<T>,
        clock: Clock,
        manager: Box<dyn AnyManager<T>>,
        health: bool,
        close: bool,
    ) -> Self {
        let slots = options.ceiling();
        let shared = Self {
            plain_idle_millis: AtomicU64::new(0),
            tests_health: health,
            admits_all: AtomicBool::new(false),
            keeps_all: AtomicBool::new(false),
            enters: AtomicBool::new(false),
            greets: AtomicBool::new(false),
            check_after_millis: AtomicU64::new(0),
            acquire_timeout: AtomicU64::new(0),
            slow_millis: AtomicU64::new(u64::MAX),
            closes_async: close,
            watches: options.watcher.map(|watcher| Watches::new(watcher, slots)),
            tuning: ArcSwap::from_pointee(options.tuning.clone()),
            tuner: Mutex::new(()),
            clock,
            manager,
            ledger: Ledger::new(slots),
            telemetry: Telemetry::new(options.name),
            runtimes: Runtimes::new(options.runtime),
            backoff: ConnectBackoff::new(options.connect_backoff),
            maintenance: Maintenance::new(),
            last_error: ArcSwapOption::empty(),
            closing: Notify::new(),
            drained: Notify::new(),
            dialled: Notify::new(),
            counters: CachePadded::new(Counters::default()),
        };
        shared.prepare_hits(&options.tuning);
        shared
    }

    /// Puts the settings in force that are the latest now.
    pub(crate) fn apply_tuning(&self, body: &Body<T>) {
        // Both end after the lock: wakers, and the hooks of settings that were replaced meanwhile, are code of others.
        let (tuning, _wakes);
        {
            let _one_at_a_time = self.tuner.lock();
            tuning = self.tuning();
            self.prepare_hits(&tuning);
            let limit = body.set_limit(tuning.max_connections);
            let line = body.set_line(tuning.max_connecting, tuning.max_waiters, tuning.fairness);
            _wakes = (limit, line);
        }
        // May retire a connection, which is code of others, too.
        body.settle();
    }

    /// Sets what a hit needs to know of the settings.
    fn prepare_hits(&self, tuning: &PoolTuning<T>) {
        let plain = match tuning.hooks.before_acquire {
            // Below the distance of any time to "never", so that an unknown time is looked at.
            None => millis(tuning.check_after_idle).min(u64::MAX / 2),
            Some(_) => 0,
        };
        let enters = tuning.leak_after.is_some();
        let admits_all = !self.tests_health && plain > 0 && !enters;
        let keeps_all = !self.tests_health && tuning.hooks.after_release.is_none();
        // Relaxed, all of them: settings on their own; a hit may see them a moment late.
        self.plain_idle_millis.store(plain, Ordering::Relaxed);
        self.admits_all.store(admits_all, Ordering::Relaxed);
        self.keeps_all.store(keeps_all, Ordering::Relaxed);
        self.enters.store(enters, Ordering::Relaxed);
        self.greets
            .store(tuning.hooks.before_acquire.is_some(), Ordering::Relaxed);
        self.check_after_millis
            .store(millis(tuning.check_after_idle), Ordering::Relaxed);
        let limit = u64::try_from(tuning.acquire_timeout.as_nanos()).unwrap_or(u64::MAX);
        self.acquire_timeout.store(limit, Ordering::Relaxed);
        self.slow_millis.store(
            tuning.slow_acquire.map_or(u64::MAX, millis),
            Ordering::Relaxed,
        );
    }

    /// The settings in force.
    pub(crate) fn tuning(&self) -> Arc<PoolTuning<T>> {
        self.tuning.load_full()
    }

    /// Whether a connection put in this very tick may be handed out as it is.
    #[inline(always)]
    pub(crate) fn admits_all(&self) -> bool {
        // Relaxed: a setting on its own.
        self.admits_all.load(Ordering::Relaxed)
    }

    /// An acquire that began at `since` and was no hit gets its connection now.
    pub(crate) fn served(&self, since: Tick, begun: Begun) {
        self.telemetry.waited(begun);
        // Relaxed: a setting on its own. Unless it is set, no clock is read.
        let limit = self.slow_millis.load(Ordering::Relaxed);
        if limit == u64::MAX {
            return;
        }
        let waited = self.now().since(since);
        if waited > Duration::from_millis(limit) {
            self.counters.slow_acquires.add(1);
            self.telemetry.was_slow(waited);
        }
    }

    /// A place was freed: what is missing of `min_idle` may be opened there.
    pub(crate) fn place_freed(&self) {
        if self.tuning.load().min_idle > 0 {
            self.maintenance.wake();
        }
    }

    /// How long an acquire may take that says nothing of it.
    pub(crate) fn acquire_timeout(&self) -> Duration {
        // Relaxed: a setting on its own.
        Duration::from_nanos(self.acquire_timeout.load(Ordering::Relaxed))
    }

    /// Whether leases are entered in the ledger.
    pub(crate) fn enters(&self) -> bool {
        // Relaxed: a setting on its own.
        self.enters.load(Ordering::Relaxed)
    }

    /// Whether a hook wants to see connections before they are handed out.
    pub(crate) fn greets(&self) -> bool {
        // Relaxed: a setting on its own.
        self.greets.load(Ordering::Relaxed)
    }

    /// Whether an idle connection may be handed out without an await.
    pub(crate) fn admits(&self, lease: &Lease<T>, tick: Tick) -> bool {
        // An unknown time is later than any, so that case is looked at, too.
        let idle = tick.as_millis().wrapping_sub(lease.since().as_millis());
        // Relaxed: a setting on its own.
        idle < self.plain_idle_millis.load(Ordering::Relaxed)
            && !lease.is_doomed()
            && self.is_healthy(lease.value())
    }

    /// Whether a connection was idle for so long that it is to be checked.
    pub(crate) fn is_stale(&self, lease: &Lease<T>, now: Tick) -> bool {
        // Relaxed: a setting on its own.
        let limit = self.check_after_millis.load(Ordering::Relaxed);
        now.since(lease.since()).as_millis() >= u128::from(limit)
    }

    /// Whether a health test says anything.
    pub(crate) fn tests_health(&self) -> bool {
        self.tests_health
    }

    /// An idle connection was found dead: what killed it may have killed the others.
    pub(crate) fn found_dead(&self) {
        self.counters.found_dead.add(1);
        if self.tests_health {
            self.maintenance.suspect(self.clock.now());
        }
    }

    /// Ends the watch of a connection that leaves, or that the pool itself is about to use.
    pub(crate) fn unwatch(&self, lease: &Lease<T>) {
        if let Some(watches) = &self.watches {
            watches.end(lease);
        }
    }

    #[inline(always)]
    pub(crate) fn is_healthy(&self, value: &T) -> bool {
        !self.tests_health || self.is_healthy_asked(value)
    }

    #[inline(never)]
    fn is_healthy_asked(&self, value: &T) -> bool {
        // A test that panics has not said that the connection is healthy.
        guarded::call("is_healthy", || self.manager.is_healthy(value)).unwrap_or(false)
    }

    #[inline(never)]
    fn keeps_asked(&self, value: &T) -> bool {
        self.tuning.load().hooks.after_release.is_none() && self.is_healthy(value)
    }

    /// What is known of a connection that was idle until now.
    pub(crate) fn metadata(&self, lease: &Lease<T>, now: Tick) -> ResourceMetadata {
        ResourceMetadata {
            age: now.since(lease.created()),
            idle: now.since(lease.since()),
            held: Duration::ZERO,
            uses: lease.uses(),
            generation: lease.generation(),
        }
    }

    /// What is known of a connection that is held.
    pub(crate) fn metadata_of_held(&self, lease: &Lease<T>, now: Tick) -> ResourceMetadata {
        let metadata = self.metadata(lease, now);
        ResourceMetadata {
            idle: Duration::ZERO,
            held: metadata.idle,
            ..metadata
        }
    }

    /// An instant `wait` from now; far away where that is out of range.
    pub(crate) fn deadline(&self, wait: Duration) -> Instant {
        far(Instant::now(), wait)
    }

    pub(crate) fn stats(&self, body: &Body<T>) -> PoolStats {
        // The retired ones first: one that is retired meanwhile is missed, which the next reading mends,
        // and not counted twice.
        let retired = self.counters.retired_uses.get();
        let acquired = retired + body.uses();
        let queue = body.queue();
        let (recycling, closing) = self.maintenance.in_care();
        let capacity = body.capacity();
        let open = capacity.open();
        // Read one after the other while others change them: clipped, so that the sum is right.
        let mut rest = open;
        let mut share = |count: u32| {
            let share = count.min(rest);
            rest -= share;
            share
        };
        let (connecting, recycling, closing) =
            (share(queue.connecting), share(recycling), share(closing));
        let idle = share(body.idle_count());
        PoolStats {
            open,
            idle,
            leased: rest,
            connecting,
            recycling,
            closing,
            waiting: queue.waiting,
            max_connections: capacity.limit(),
            capacity_free: capacity.free(),
            paused: queue.paused,
            closed: body.is_closed() || body.is_forked(),
            ..self.counted(acquired)
        }
    }

    /// What was counted so far, beside how often a connection was acquired.
    fn counted(&self, acquired: u64) -> PoolStats {
        let counters = &self.counters;
        PoolStats {
            acquired,
            opened: counters.opened.get(),
            retired: counters.retired.get(),
            timed_out: counters.timed_out.get(),
            connect_failures: counters.connect_failures.get(),
            found_dead: counters.found_dead.get(),
            slow_acquires: counters.slow_acquires.get(),
            leaks: counters.leaks.get(),
            seen_dying: counters.seen_dying.get(),
            outlived: counters.outlived.get(),
            last_connect_error: self.last_error.load().as_deref().map(ToString::to_string),
            ..PoolStats::default()
        }
    }

    #[cold]
    pub(crate) fn refuse(
        &self,
        body: &Body<T>,
        kind: AcquireErrorKind,
        error: Option<SharedError>,
    ) -> AcquireError {
        AcquireError::new(kind, self.stats(body), error)
    }

    pub(crate) fn last_error(&self) -> Option<SharedError> {
        self.last_error.load().as_deref().cloned()
    }

    /// Returns when the pool is closed.
    pub(crate) async fn closed(&self, body: &Body<T>) {
        // Also in a forked child, where nobody is told any more.
        if body.is_closed() {
            return;
        }
        let mut notified = std::pin::pin!(self.closing.notified());
        notified.as_mut().enable();
        if !body.is_closed() {
            notified.await;
        }
    }
}

impl<T: Send + 'static> Drop for Shared<T> {
    fn drop(&mut self) {
        // The last reading: nothing is open, and nobody counts any more.
        self.telemetry
            .publish(|| self.counted(self.counters.retired_uses.get()));
    }
}

impl<T: Send + 'static> Host<T> for Shared<T> {
    type Failure = Failure;

    fn now(&self) -> Tick {
        self.clock.now()
    }

    #[inline(always)]
    fn keeps(&self, value: &T) -> bool {
        self.keeps_all() || self.keeps_asked(value)
    }

    #[inline(always)]
    fn keeps_all(&self) -> bool {
        // Relaxed: a setting on its own.
        self.keeps_all.load(Ordering::Relaxed)
    }

    const TELLS_HOLDS: bool = cfg!(feature = "metrics");

    fn held(&self, since: Tick, now: Tick) {
        self.telemetry.held(since, now);
    }

    fn returned(lease: Lease<T>) {
        retire::take_back(lease);
    }

    fn evicted(lease: Lease<T>) {
        retire::bury(lease);
    }

    fn dial(ticket: Ticket<T>) -> Result<(), Failure> {
        dial::start(ticket)
    }

    fn abandoned(body: &Arc<Body<T>>) {
        super::close::begin(body);
    }

    fn drained(&self) {
        self.drained.notify_waiters();
        self.maintenance.wake();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The instant `wait` after `now`; decades away where that is out of range.
pub(crate) fn far(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait)
        .unwrap_or_else(|| now + Duration::from_secs(86_400 * 365 * 30))
}
