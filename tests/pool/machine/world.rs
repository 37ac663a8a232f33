//! The world of a case: the pool, who holds and who waits, and what each step does to them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use plunge::{AcquireError, Pool, PoolConnection, PoolOptions};
use tokio::time::{Instant, sleep};

use super::step::{CEILING, Case, Place, Step};
use super::truth::Truth;
use crate::support::{Closing, Gate, HookGate, Theatre, Unit, burst, paused};

/// How long user code may take, and how long an acquire with little time.
pub const SHORT: Duration = Duration::from_millis(120);
pub const LONG: Duration = Duration::from_millis(1_500);
pub const BRIEF: Duration = Duration::from_millis(10);
pub const MOMENT: Duration = Duration::from_millis(1);
/// The pause after a failed dial: a millisecond, whatever its jitter, so that a case repeats.
pub const PAUSE: Duration = MOMENT;

/// Whether a future was woken.
pub struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A future that is polled when it was woken, and at no other time.
pub struct Rung<F: ?Sized> {
    bell: Arc<Bell>,
    pub until: Instant,
    future: Pin<Box<F>>,
}

impl<R> Rung<dyn Future<Output = R>> {
    pub fn poll(&mut self) -> Poll<R> {
        if !self.bell.0.swap(false, SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

impl<F: ?Sized> Rung<F> {
    pub fn is_rung(&self) -> bool {
        self.bell.0.load(SeqCst)
    }
}

pub fn rung<R>(
    limit: Duration,
    future: impl Future<Output = R> + 'static,
) -> Rung<dyn Future<Output = R>> {
    Rung {
        bell: Arc::new(Bell(AtomicBool::new(true))),
        until: Instant::now() + limit,
        future: Box::pin(future),
    }
}

pub type Acquired = Result<PoolConnection<Unit>, AcquireError>;

pub struct World {
    pub theatre: Arc<Theatre>,
    pub pool: Pool<Unit>,
    pub held: Vec<PoolConnection<Unit>>,
    acquires: Vec<Rung<dyn Future<Output = Acquired>>>,
    closes: Vec<Rung<dyn Future<Output = ()>>>,
    pub suspended: bool,
    /// Since when the user code may do as it likes.
    pub unruly: bool,
    pub detached: u64,
}

/// Plays a case; says what was not as it must be, and after which step.
pub fn play(case: &Case) -> Result<(), String> {
    let runtime = paused();
    let theatre = Theatre::new(case.gates);
    let options = PoolOptions::new()
        .max_connections(2)
        .max_connections_ceiling(CEILING)
        .max_connecting(2)
        .acquire_timeout(LONG)
        .connect_timeout(SHORT)
        .hook_timeout(SHORT)
        .close_timeout(SHORT)
        .check_after_idle(Duration::from_millis(30))
        .idle_timeout(Duration::from_millis(300))
        .max_lifetime(Duration::from_millis(2_000))
        .connect_backoff(PAUSE, PAUSE)
        .fairness(case.fairness)
        .idle_order(case.order);
    runtime.block_on(async {
        let mut world = World {
            pool: theatre.pool(options).map_err(|error| error.to_string())?,
            theatre,
            held: Vec::new(),
            acquires: Vec::new(),
            closes: Vec::new(),
            suspended: false,
            unruly: false,
            detached: 0,
        };
        let mut truth = Truth::new(&world);
        for (number, step) in case.steps.iter().enumerate() {
            world.make(*step);
            if let Step::Pass(millis) = *step {
                sleep(Duration::from_millis(millis)).await;
            }
            world.settle().await;
            let told = |broken| format!("after step {number}, {step:?}: {broken}");
            truth.look(&mut world).await.map_err(told)?;
        }
        world.end().await
    })
}

pub fn pick<T>(from: &mut Vec<T>, number: u8) -> Option<T> {
    let at = usize::from(number).checked_rem(from.len())?;
    Some(from.swap_remove(at))
}

impl World {
    fn make(&mut self, step: Step) {
        match step {
            Step::Acquire => self.acquire(LONG),
            Step::AcquireBriefly => self.acquire(BRIEF),
            Step::TryAcquire => self.held.extend(self.pool.try_acquire().ok()),
            Step::Cancel(number) => drop(pick(&mut self.acquires, number)),
            Step::Pass(_) => {}
            Step::Suspend => {
                self.suspended = true;
                self.pool.suspend();
            }
            Step::Resume => {
                self.suspended = false;
                self.pool.resume();
            }
            Step::Evict => self.pool.evict_all(),
            Step::Close => {
                let pool = self.pool.clone();
                self.closes
                    .push(rung(LONG, async move { drop(pool.close(SHORT).await) }));
            }
            Step::Set(place, gate) => self.set(place, gate),
            Step::Calm => {
                self.unruly = false;
                self.theatre.calm();
            }
            Step::Release(number)
            | Step::Unwind(number)
            | Step::Break(number)
            | Step::Detach(number)
            | Step::CloseOne(number) => {
                if let Some(held) = pick(&mut self.held, number) {
                    self.release(step, held);
                }
            }
            Step::CancelClose => drop(self.closes.pop()),
            Step::Resize(_)
            | Step::Fairness(_)
            | Step::MaxConnecting(_)
            | Step::MaxWaiters(_)
            | Step::MinIdle(_) => self.tune(step),
        }
    }

    fn acquire(&mut self, limit: Duration) {
        let pool = self.pool.clone();
        self.acquires.push(rung(
            limit,
            async move { pool.acquire_timeout(limit).await },
        ));
    }

    fn release(&mut self, step: Step, mut held: PoolConnection<Unit>) {
        match step {
            Step::Unwind(_) => {
                let unwinding = catch_unwind(AssertUnwindSafe(move || {
                    let _held = held;
                    burst()
                }));
                assert!(unwinding.is_err());
            }
            Step::Break(_) => {
                held.mark_broken();
                drop(held);
            }
            Step::Detach(_) => {
                self.detached += 1;
                // A drop that panics is the owner's own from here on.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(held.detach())));
            }
            Step::CloseOne(_) => self.closes.push(rung(LONG, held.close())),
            _ => drop(held),
        }
    }

    fn tune(&mut self, step: Step) {
        let tuned = self.pool.tune(|tuning| {
            match step {
                Step::Resize(limit) => tuning.max_connections = limit,
                Step::Fairness(fairness) => tuning.fairness = fairness,
                Step::MaxConnecting(count) => tuning.max_connecting = count,
                Step::MaxWaiters(count) => tuning.max_waiters = count,
                Step::MinIdle(count) => tuning.min_idle = count,
                _ => {}
            }
            tuning.min_idle = tuning.min_idle.min(tuning.max_connections);
        });
        assert!(tuned.is_ok(), "{tuned:?}");
    }

    fn set(&mut self, place: Place, gate: Gate) {
        let mut gates = self.theatre.gates();
        let hook = |hook: &mut HookGate| {
            *hook = match hook {
                HookGate::Unset => HookGate::Unset,
                HookGate::Sync(_) => HookGate::Sync(gate),
                HookGate::Async(_) => HookGate::Async(gate),
            }
        };
        match place {
            Place::Factory => gates.factory = gate,
            Place::AfterCreate => hook(&mut gates.after_create),
            Place::BeforeAcquire => hook(&mut gates.before_acquire),
            Place::AfterRelease => hook(&mut gates.after_release),
            Place::Health => gates.health = gate,
            Place::Check => gates.check = gate,
            Place::Close => {
                gates.close = match gates.close {
                    Closing::InPlace(_) => Closing::InPlace(gate),
                    Closing::Awaited(_) => Closing::Awaited(gate),
                }
            }
        }
        self.unruly = true;
        self.theatre.set(gates);
    }

    /// Polls whoever was woken. Tells whether somebody was.
    pub fn poll(&mut self) -> bool {
        let before = self.held.len() + self.acquires.len() + self.closes.len();
        self.closes.retain_mut(|close| close.poll().is_pending());
        let held = &mut self.held;
        self.acquires.retain_mut(|acquire| match acquire.poll() {
            Poll::Pending => true,
            Poll::Ready(acquired) => {
                held.extend(acquired.ok());
                false
            }
        });
        let rung = self.acquires.iter().any(Rung::is_rung) || self.closes.iter().any(Rung::is_rung);
        rung || before != self.held.len() + self.acquires.len() + self.closes.len()
    }

    /// Lets everybody run until all wait, for a millisecond of their time.
    pub async fn settle(&mut self) {
        loop {
            self.poll();
            // On a paused clock this ends when nobody else has anything to do.
            sleep(MOMENT).await;
            if !self.poll() {
                return;
            }
        }
    }

    pub fn pending(&self) -> usize {
        self.acquires.len()
    }

    /// The acquire that should have ended first.
    pub fn first_end(&self) -> Option<Instant> {
        self.acquires.iter().map(|acquire| acquire.until).min()
    }

    /// After the steps: calm, and as good as new; then closed, and nothing is left.
    async fn end(mut self) -> Result<(), String> {
        self.theatre.calm();
        self.acquires.clear();
        self.held.clear();
        self.closes.clear();
        self.pool.resume();
        if !self.pool.is_closed() {
            // What user code left half done ends at its time-out.
            sleep(SHORT * 3).await;
            let limit = self.pool.tuning().max_connections;
            for _ in 0..limit {
                let acquired = self.pool.acquire().await;
                self.held
                    .push(acquired.map_err(|error| format!("capacity is missing: {error}"))?);
            }
            let stats = self.pool.stats();
            if (stats.leased, stats.open, stats.waiting) != (limit, limit, 0) {
                return Err(format!("all {limit} are held: {stats:?}"));
            }
            self.held.clear();
        }
        let report = self.pool.close(LONG).await;
        let stats = self.pool.stats();
        if !report.is_clean() || stats.open != 0 || self.theatre.live() != 0 {
            let live = self.theatre.live();
            return Err(format!(
                "something is left: {report:?} {stats:?}, {live} live"
            ));
        }
        if stats.opened - stats.retired != 0 {
            return Err(format!("opened and not retired: {stats:?}"));
        }
        Ok(())
    }
}
