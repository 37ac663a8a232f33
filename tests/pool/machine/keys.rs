//! The world of a case with many keys: a keyed pool with one limit, who holds and who waits, and what
//! each step does to them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use plunge::{Fairness, IdleOrder, KeyedOptions, KeyedPool, PoolConnection, PoolOptions};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::Strategy;
use tokio::time::{Instant, sleep};

use super::keys_truth::Truth;
use super::step::{GATES, gates};
use super::world::{Acquired, BRIEF, LONG, MOMENT, PAUSE, Rung, SHORT, pick, rung};
use crate::support::{Gate, Gates, HookGate, Theatre, Unit, burst, paused};

pub const KEYS: u8 = 4;
/// The highest limit of all keys, and that of one.
const ALL: u32 = 4;
const ONE: u32 = 2;
/// How many dials of a key may be under way.
pub const DIALS: u32 = 2;

/// What happens next. A number picks one of those that there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Acquire(u8),
    AcquireBriefly(u8),
    TryAcquire(u8),
    Cancel(u8),
    Release(u8),
    Break(u8),
    /// The holder panics.
    Unwind(u8),
    Detach(u8),
    Resize(u32),
    ResizeKey(u8, u32),
    Evict,
    Remove(u8),
    Sweep(u8),
    Suspend,
    Resume,
    SuspendKey(u8),
    ResumeKey(u8),
    Fairness(u8, Fairness),
    Factory(Gate),
    Looks(Gate),
    Calm,
    Pass(u64),
}

impl Step {
    /// As for one pool: the lower half says which kind, in thousandths, the upper half what of it.
    fn of(number: u32) -> Self {
        let (kind, of) = (((number % (1 << 16)) * 1_000) >> 16, number >> 16);
        let (pick, key) = (of as u8, (of >> 8) as u8 % KEYS);
        let rules = [
            Fairness::Fifo,
            Fairness::Eventual(Duration::from_millis(5)),
            Fairness::Barging,
        ];
        match kind {
            0..230 => Self::Acquire(key),
            230..450 => Self::Release(pick),
            450..500 => Self::AcquireBriefly(key),
            500..540 => Self::TryAcquire(key),
            540..630 => Self::Cancel(pick),
            630..690 => Self::Pass(u64::from(1 + of % 150)),
            690..720 => Self::Break(pick),
            720..735 => Self::Unwind(pick),
            735..750 => Self::Detach(pick),
            750..800 => Self::Resize(1 + of % ALL),
            800..820 => Self::ResizeKey(key, 1 + of % ONE),
            820..830 => Self::Evict,
            830..840 => Self::Remove(key),
            840..850 => Self::Sweep(key),
            850..860 => Self::Suspend,
            860..890 => Self::Resume,
            890..900 => Self::SuspendKey(key),
            900..920 => Self::ResumeKey(key),
            920..940 => Self::Fairness(key, rules[of as usize % 3]),
            940..960 => Self::Calm,
            960..980 => Self::Looks(GATES[of as usize % 7]),
            _ => Self::Factory(GATES[of as usize % 7]),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    gates: Gates,
    order: IdleOrder,
    pub steps: Vec<Step>,
}

pub fn cases(steps: usize) -> impl Strategy<Value = Case> {
    let order = select(vec![IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo]);
    let numbers = vec(any::<u32>(), 1..=steps);
    (gates(), order, numbers).prop_map(|(gates, order, numbers)| Case {
        gates,
        order,
        steps: numbers.into_iter().map(Step::of).collect(),
    })
}

pub struct World {
    pub theatre: Arc<Theatre>,
    pub keyed: KeyedPool<u8, Unit>,
    pub held: Vec<PoolConnection<Unit>>,
    acquires: Vec<Rung<dyn Future<Output = Acquired>>>,
    /// Keys that hand nothing out, each alone or all together.
    pub suspended: [bool; KEYS as usize],
    pub all_suspended: bool,
}

/// Plays a case; says what was not as it must be, and after which step.
pub fn play(case: &Case) -> Result<(), String> {
    let runtime = paused();
    let theatre = Theatre::new(case.gates);
    let per_key = PoolOptions::new()
        .max_connections(ONE)
        .max_connecting(DIALS)
        .acquire_timeout(LONG)
        .connect_timeout(SHORT)
        .hook_timeout(SHORT)
        .close_timeout(SHORT)
        .check_after_idle(Duration::from_millis(30))
        .idle_timeout(Duration::from_millis(300))
        .connect_backoff(PAUSE, PAUSE)
        .idle_order(case.order);
    let options = KeyedOptions::new()
        .max_connections(2)
        .key_timeout(Duration::from_millis(200));
    runtime.block_on(async {
        let keyed = theatre.keyed(options, per_key);
        let mut world = World {
            keyed: keyed.map_err(|error| error.to_string())?,
            theatre,
            held: Vec::new(),
            acquires: Vec::new(),
            suspended: [false; KEYS as usize],
            all_suspended: false,
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

impl World {
    fn make(&mut self, step: Step) {
        match step {
            Step::Acquire(key) => self.acquire(key, LONG),
            Step::AcquireBriefly(key) => self.acquire(key, BRIEF),
            Step::TryAcquire(key) => self.held.extend(self.keyed.try_acquire(&key).ok()),
            Step::Cancel(number) => drop(pick(&mut self.acquires, number)),
            Step::Release(number)
            | Step::Break(number)
            | Step::Unwind(number)
            | Step::Detach(number) => {
                if let Some(held) = pick(&mut self.held, number) {
                    release(step, held);
                }
            }
            Step::Resize(limit) => self.keyed.set_max_connections(limit).expect("not 0"),
            Step::Evict => self.keyed.evict_all(),
            Step::Remove(key) => {
                self.keyed.remove(&key);
                self.suspended[usize::from(key)] = false;
            }
            Step::Sweep(key) => drop(self.keyed.retain(|of, _, _| *of != key)),
            Step::Suspend | Step::Resume => self.suspend_all(matches!(step, Step::Suspend)),
            Step::SuspendKey(key) => self.suspend_one(key, true),
            Step::ResumeKey(key) => self.suspend_one(key, false),
            Step::ResizeKey(key, _) | Step::Fairness(key, _) => self.tune(key, step),
            Step::Factory(gate) => {
                let gates = self.theatre.gates();
                self.theatre.set(Gates {
                    factory: gate,
                    ..gates
                });
            }
            Step::Looks(gate) => self.set_looks(gate),
            Step::Calm => self.theatre.calm(),
            Step::Pass(_) => {}
        }
    }

    fn acquire(&mut self, key: u8, limit: Duration) {
        let keyed = self.keyed.clone();
        let acquire = async move { keyed.acquire_timeout(&key, limit).await };
        self.acquires.push(rung(limit, acquire));
    }

    fn suspend_all(&mut self, suspended: bool) {
        match suspended {
            true => self.keyed.suspend(),
            false => self.keyed.resume(),
        }
        self.all_suspended = suspended;
        self.suspended = [suspended; KEYS as usize];
    }

    fn suspend_one(&mut self, key: u8, suspended: bool) {
        let Some(pool) = self.keyed.key_pool(&key) else {
            return;
        };
        match suspended {
            true => pool.suspend(),
            false => pool.resume(),
        }
        self.suspended[usize::from(key)] = suspended;
    }

    fn tune(&self, key: u8, step: Step) {
        let Some(pool) = self.keyed.key_pool(&key) else {
            return;
        };
        let tuned = pool.tune(|tuning| match step {
            Step::ResizeKey(_, limit) => tuning.max_connections = limit,
            Step::Fairness(_, fairness) => tuning.fairness = fairness,
            _ => {}
        });
        assert!(tuned.is_ok(), "{tuned:?}");
    }

    /// All that looks at a connection behaves so.
    fn set_looks(&self, gate: Gate) {
        let mut gates = self.theatre.gates();
        gates.before_acquire = match gates.before_acquire {
            HookGate::Unset => HookGate::Unset,
            HookGate::Sync(_) => HookGate::Sync(gate),
            HookGate::Async(_) => HookGate::Async(gate),
        };
        (gates.health, gates.check) = (gate, gate);
        self.theatre.set(gates);
    }

    /// Polls whoever was woken. Tells whether somebody was.
    pub fn poll(&mut self) -> bool {
        let before = (self.held.len(), self.acquires.len());
        let held = &mut self.held;
        self.acquires.retain_mut(|acquire| match acquire.poll() {
            Poll::Pending => true,
            Poll::Ready(acquired) => {
                held.extend(acquired.ok());
                false
            }
        });
        let rung = self.acquires.iter().any(Rung::is_rung);
        rung || before != (self.held.len(), self.acquires.len())
    }

    /// Lets everybody run until all wait, for a millisecond of their time.
    async fn settle(&mut self) {
        loop {
            self.poll();
            // On a paused clock this ends when nobody else has anything to do.
            sleep(MOMENT).await;
            if !self.poll() {
                return;
            }
        }
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
        self.keyed.resume();
        self.keyed.set_max_connections(ALL).expect("not 0");
        for key in 0..KEYS {
            self.tune(key, Step::ResizeKey(key, ONE));
        }
        // What user code left half done ends at its time-out.
        sleep(SHORT * 3).await;
        for number in 0..ALL {
            let acquired = self.keyed.acquire(&(number as u8 / ONE as u8)).await;
            let told = |error| format!("capacity is missing: {error}");
            self.held.push(acquired.map_err(told)?);
        }
        let stats = self.keyed.stats();
        if (stats.open, stats.starving_keys) != (ALL, 0) {
            return Err(format!("all {ALL} are held: {stats:?}"));
        }
        self.held.clear();
        let report = self.keyed.close(LONG).await;
        let (stats, live) = (self.keyed.stats(), self.theatre.live());
        let left = (stats.open, stats.active_keys, stats.starving_keys, live);
        match report.is_clean() && left == (0, 0, 0, 0) {
            true => Ok(()),
            false => Err(format!(
                "something is left: {report:?} {stats:?}, {live} live"
            )),
        }
    }
}

fn release(step: Step, mut held: PoolConnection<Unit>) {
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
        // A drop that panics is the owner's own from here on.
        Step::Detach(_) => drop(catch_unwind(AssertUnwindSafe(|| drop(held.detach())))),
        _ => drop(held),
    }
}
