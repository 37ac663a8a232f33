//! A round: one pool with settings at random, its workers, its end, and what must be true then.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use plunge::{Fairness, IdleOrder, Pool, PoolOptions};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::hooks::Hooks;
use crate::shop::{Counter, Shop, Tool};
use crate::worker::{self, License};

/// Far longer than a round, far shorter than the patience of its watcher.
pub const FORGOTTEN: Duration = Duration::from_secs(30);

/// What came of a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub acquired: u64,
    pub refused: u64,
    pub given_up: u64,
    pub opened: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.refused += other.refused;
        self.given_up += other.given_up;
        self.opened += other.opened;
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// All workers end, then the pool is closed.
    InOrder,
    /// It is closed while they work.
    Closed,
    /// The last worker drops the last handle.
    LastHandle,
    /// The runtime is shut down while they work.
    Shutdown,
}

#[derive(Debug)]
pub struct Round {
    seed: u64,
    size: u32,
    tasks: u64,
    deeds: u32,
    closes: bool,
    own_runtime: bool,
    fairness: Fairness,
    order: IdleOrder,
    hooks: Hooks,
    trouble: u64,
    license: License,
    end: End,
}

impl Round {
    pub fn roll(dice: &mut Dice) -> Self {
        let size = dice.pick(&[1, 1, 2, 3, 8, 32]);
        let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
        let patience = Duration::from_micros(1 + dice.below(3_000));
        let fairness = [
            Fairness::Fifo,
            Fairness::Barging,
            Fairness::Eventual(patience),
        ];
        Self {
            seed: dice.below(u64::MAX),
            size,
            tasks: 1 + dice.below(16 * cores),
            deeds: 20 + dice.below(200) as u32,
            closes: dice.percent(50),
            own_runtime: dice.percent(50),
            fairness: dice.pick(&fairness),
            order: dice.pick(&[IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo]),
            hooks: dice.pick(&[Hooks::None, Hooks::None, Hooks::Sync, Hooks::Async]),
            trouble: dice.pick(&[0, 5]),
            license: License {
                tunes: dice.pick(&[0, size]),
                suspends: dice.percent(25),
            },
            end: dice.pick(&[
                End::InOrder,
                End::InOrder,
                End::Closed,
                End::LastHandle,
                End::Shutdown,
            ]),
        }
    }

    pub fn play(self) -> Tally {
        let mut dice = Dice::new(self.seed);
        let shop = Shop::new(dice.fork(), self.size, self.trouble);
        let runtime = runtime();
        let pool = self.pool(&shop, &runtime, &mut dice);
        let mut tally = Tally::default();
        std::thread::scope(|scope| {
            let threads = [dice.fork(), dice.fork()].map(|dice| {
                let pool = pool.clone();
                scope.spawn(move || worker::thread(&pool, dice, self.deeds))
            });
            let (others, handed) = channel();
            // Lets go of what tasks send, outside any runtime.
            scope.spawn(move || handed.into_iter().for_each(drop));
            let workers = self.hire(&pool, &runtime, &mut dice, others);
            tally.add(&self.finish(pool, runtime, workers, &shop));
            for thread in threads {
                tally.add(&thread.join().expect("no thread fails"));
            }
        });
        wait_for("every tool is dropped", || shop.live() == 0);
        tally.opened = shop.made.load(SeqCst);
        tally
    }

    fn hire(
        &self,
        pool: &Pool<Tool>,
        runtime: &Runtime,
        dice: &mut Dice,
        others: std::sync::mpsc::Sender<worker::Held>,
    ) -> JoinSet<Tally> {
        let mut workers = JoinSet::new();
        for _ in 0..self.tasks {
            let (pool, others) = (pool.clone(), others.clone());
            let task = worker::task(pool, dice.fork(), self.deeds, self.license, others);
            workers.spawn_on(task, runtime.handle());
        }
        workers
    }

    fn finish(
        &self,
        pool: Pool<Tool>,
        runtime: Runtime,
        workers: JoinSet<Tally>,
        shop: &Arc<Shop>,
    ) -> Tally {
        match self.end {
            End::InOrder => {
                let tally = runtime.block_on(sum(workers));
                runtime.block_on(check(&pool, shop));
                tally
            }
            End::Closed => {
                let report = runtime.block_on(pool.close(FORGOTTEN));
                assert!(report.is_clean(), "{report:?}");
                assert_eq!(shop.live(), 0, "closed, and only what was detached is left");
                runtime.block_on(sum(workers))
            }
            End::LastHandle => {
                drop(pool);
                runtime.block_on(sum(workers))
            }
            End::Shutdown => {
                drop(runtime);
                // A task may have been dropped before its resume. Threads are served, or told that
                // there is no runtime.
                pool.resume();
                drop(pool);
                Tally::default()
            }
        }
    }

    fn pool(&self, shop: &Arc<Shop>, runtime: &Runtime, dice: &mut Dice) -> Pool<Tool> {
        let setting = Setting {
            size: self.size,
            fairness: self.fairness,
            order: self.order,
            max_connecting: 1 + dice.below(4) as u32,
            min_idle: dice.pick(&[0, 0, self.size.min(2)]),
            check_after: dice.pick(&[Duration::ZERO, Duration::from_secs(1)]),
        };
        let own = self.own_runtime.then(|| runtime.handle().clone());
        let _entered = runtime.enter();
        setting.pool_on(own, shop, self.closes, self.hooks)
    }
}

/// What a pool is built with.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub size: u32,
    pub fairness: Fairness,
    pub order: IdleOrder,
    pub max_connecting: u32,
    pub min_idle: u32,
    pub check_after: Duration,
}

impl Setting {
    pub fn pool(self, shop: &Arc<Shop>, closes: bool, hooks: Hooks) -> Pool<Tool> {
        self.pool_on(None, shop, closes, hooks)
    }

    /// A pool of the shop's tools; `closes`: their closing is something to wait for.
    fn pool_on(
        self,
        runtime: Option<Handle>,
        shop: &Arc<Shop>,
        closes: bool,
        hooks: Hooks,
    ) -> Pool<Tool> {
        let mut options = PoolOptions::new()
            .max_connections(self.size)
            .max_connecting(self.max_connecting)
            .min_idle(self.min_idle)
            .acquire_timeout(FORGOTTEN)
            .check_after_idle(self.check_after)
            .connect_backoff(Duration::from_micros(50), Duration::from_millis(1))
            .fairness(self.fairness)
            .idle_order(self.order)
            .hooks(hooks.of(shop));
        if let Some(runtime) = runtime {
            options = options.runtime(runtime);
        }
        match closes {
            true => options.manager(Counter::<true>(Arc::clone(shop))).unwrap(),
            false => options.manager(Counter::<false>(Arc::clone(shop))).unwrap(),
        }
    }
}

pub fn runtime() -> Runtime {
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(cores)
        .enable_time()
        .build()
        .expect("threads are left")
}

async fn sum(mut workers: JoinSet<Tally>) -> Tally {
    let mut tally = Tally::default();
    while let Some(worker) = workers.join_next().await {
        tally.add(&worker.expect("no worker fails"));
    }
    tally
}

/// After the workers: the pool is at rest, whole, and as good as new; then it is closed.
pub async fn check(pool: &Pool<Tool>, shop: &Arc<Shop>) {
    shop.calm.store(true, SeqCst);
    let size = pool.tuning().max_connections;
    let mut held = Vec::new();
    while held.len() < size as usize {
        match pool.acquire().await {
            Ok(tool) => held.push(tool),
            Err(error) => assert!(!error.is_timeout() && !error.is_closed(), "{error:?}"),
        }
    }
    let stats = pool.stats();
    assert!(stats.leased >= size, "{stats:?}");
    drop(held);
    let report = pool.close(FORGOTTEN).await;
    assert!(report.is_clean(), "{report:?}");
    let stats = pool.stats();
    assert_eq!((stats.open, stats.waiting), (0, 0), "{stats:?}");
}

/// Looks until it is true; fails if that takes longer than anything may.
pub fn wait_for(claim: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + FORGOTTEN;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {claim}");
        std::thread::yield_now();
    }
}
