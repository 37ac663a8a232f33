//! The storm over many keys that share one limit: acquires by key and by handle are dropped wherever they
//! are, while keys are removed, collected, evicted and suspended and the limit changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use plunge::{
    AcquireErrorKind, Fairness, IdleOrder, KeyHandle, KeyedOptions, KeyedPool, PoolOptions,
};
use tokio::task::{JoinSet, yield_now};

use crate::dice::Dice;
use crate::hooks::Hooks;
use crate::round::{FORGOTTEN, runtime, wait_for};
use crate::shop::{Counter, Shop, Tool};
use crate::storm::{Dropped, polled, release};

type Keyed = KeyedPool<u64, Tool>;

/// What became of the keys.
#[derive(Debug, Default)]
pub struct Tally {
    pub evicted: AtomicU64,
    collected: AtomicU64,
    removed: AtomicU64,
}

#[derive(Debug)]
pub struct Storm {
    seed: u64,
    keys: u64,
    limit: u32,
    per_key: u32,
    fairness: Fairness,
    order: IdleOrder,
    hooks: Hooks,
    closes: bool,
    check_after: Duration,
    min_idle: u32,
}

impl Storm {
    pub fn roll(dice: &mut Dice) -> Self {
        let fairness = [
            Fairness::Fifo,
            Fairness::Fifo,
            Fairness::Barging,
            Fairness::Eventual(Duration::from_millis(1)),
        ];
        Self {
            seed: dice.below(u64::MAX),
            keys: dice.pick(&[2, 3, 8, 40]),
            limit: dice.pick(&[1, 2, 3, 8]),
            per_key: dice.pick(&[1, 2, 8]),
            fairness: dice.pick(&fairness),
            order: dice.pick(&[IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo]),
            hooks: dice.pick(&[Hooks::None, Hooks::Sync, Hooks::Async, Hooks::Async]),
            closes: dice.percent(50),
            check_after: dice.pick(&[Duration::ZERO, Duration::from_secs(1)]),
            min_idle: dice.pick(&[0, 0, 0, 1]),
        }
    }

    /// Drops so many acquires after their first poll; then all capacity is there, or it panics.
    pub fn play(&self, count: u64, dropped: &Arc<Dropped>, tally: &Arc<Tally>) {
        let mut dice = Dice::new(self.seed);
        let shop = Shop::new(dice.fork(), self.limit, 2);
        let runtime = runtime();
        let keyed = {
            let _entered = runtime.enter();
            self.build(&shop)
        };
        let end = dropped.waiting.load(SeqCst) + count;
        let mut tasks = JoinSet::new();
        for _ in 0..2 * self.limit + 8 {
            let visitor = Visitor {
                keyed: keyed.clone(),
                dice: dice.fork(),
                keys: self.keys,
                limit: self.limit,
                tally: Arc::clone(tally),
            };
            tasks.spawn_on(visitor.visit(end, Arc::clone(dropped)), runtime.handle());
        }
        runtime.block_on(async {
            while let Some(task) = tasks.join_next().await {
                task.expect("no task fails");
            }
            self.check(&keyed, &shop).await;
        });
        let stats = keyed.stats();
        tally.evicted.fetch_add(stats.evicted, SeqCst);
        tally.collected.fetch_add(stats.collected, SeqCst);
        drop(keyed);
        wait_for("every tool is dropped", || shop.live() == 0);
        let looking = shop.cut_short.load(SeqCst);
        dropped.looking.fetch_add(looking, SeqCst);
        dropped.opened.fetch_add(shop.made.load(SeqCst), SeqCst);
    }

    fn build(&self, shop: &Arc<Shop>) -> Keyed {
        let per_key = PoolOptions::new()
            .max_connections(self.per_key)
            .max_connecting(2)
            .min_idle(self.min_idle.min(self.per_key))
            .acquire_timeout(FORGOTTEN)
            .idle_timeout(Duration::from_millis(3))
            .check_after_idle(self.check_after)
            .connect_backoff(Duration::from_micros(50), Duration::from_millis(1))
            .fairness(self.fairness)
            .idle_order(self.order)
            .hooks(self.hooks.of(shop));
        let options = KeyedOptions::new()
            .max_connections(self.limit)
            .key_timeout(Duration::from_millis(5))
            .per_key(per_key);
        let shop = Arc::clone(shop);
        let built = match self.closes {
            true => options.manager(move |_| Counter::<true>(Arc::clone(&shop))),
            false => options.manager(move |_| Counter::<false>(Arc::clone(&shop))),
        };
        built.expect("valid options")
    }

    /// At rest, all that may be open can be held at once; closed, nothing is left.
    async fn check(&self, keyed: &Keyed, shop: &Arc<Shop>) {
        shop.calm.store(true, SeqCst);
        keyed.resume();
        keyed.set_max_connections(self.limit).expect("not 0");
        let all = u64::from(self.limit).min(self.keys * u64::from(self.per_key));
        let mut held = Vec::new();
        while held.len() < all as usize {
            match keyed.acquire(&(held.len() as u64 % self.keys)).await {
                Ok(tool) => held.push(tool),
                Err(error) => assert!(!error.is_timeout() && !error.is_closed(), "{error:?}"),
            }
        }
        let stats = keyed.stats();
        assert_eq!(stats.starving_keys, 0, "{stats:?}");
        assert!(
            u64::from(stats.open) >= all && stats.open <= self.limit,
            "{stats:?}"
        );
        drop(held);
        let report = keyed.close(FORGOTTEN).await;
        assert!(report.is_clean(), "{report:?}");
        let stats = keyed.stats();
        let nothing = (stats.open, stats.active_keys, stats.starving_keys);
        assert_eq!(nothing, (0, 0, 0), "{stats:?}");
    }
}

struct Visitor {
    keyed: Keyed,
    dice: Dice,
    keys: u64,
    limit: u32,
    tally: Arc<Tally>,
}

impl Visitor {
    async fn visit(mut self, end: u64, dropped: Arc<Dropped>) {
        let mut handle = self.keyed.handle(self.dice.below(self.keys));
        while dropped.waiting.load(SeqCst) < end {
            let outcome = if self.dice.percent(50) {
                polled(handle.acquire(), &mut self.dice, &dropped).await
            } else {
                let key = self.dice.below(self.keys);
                polled(self.keyed.acquire(&key), &mut self.dice, &dropped).await
            };
            match outcome {
                Some(Ok(tool)) => {
                    dropped.served.fetch_add(1, SeqCst);
                    tool.grasp();
                    for _ in 0..self.dice.below(3) {
                        yield_now().await;
                    }
                    tool.let_go();
                    release(tool, &mut self.dice).await;
                }
                Some(Err(error)) => {
                    // The time is far longer than a round: somebody was forgotten.
                    assert_eq!(error.kind(), AcquireErrorKind::Connect, "{error:?}");
                    dropped.refused.fetch_add(1, SeqCst);
                    yield_now().await;
                }
                None => self.interfere(&mut handle).await,
            }
        }
    }

    /// Now and then does what concerns others.
    async fn interfere(&mut self, handle: &mut KeyHandle<u64, Tool>) {
        let key = self.dice.below(self.keys);
        match self.dice.below(300) {
            0 => {
                let removed = self.keyed.remove(&key);
                self.tally.removed.fetch_add(u64::from(removed), SeqCst);
            }
            1 => self.keyed.evict_all(),
            2..5 => {
                let limit = 1 + self.dice.below(u64::from(self.limit)) as u32;
                self.keyed.set_max_connections(limit).expect("not 0");
            }
            5 => {
                self.keyed.suspend();
                yield_now().await;
                self.keyed.resume();
            }
            6 => drop(self.keyed.retain(|of, _, _| *of != key)),
            7..20 => *handle = self.keyed.handle(key),
            20..40 => {
                if let Ok(tool) = self.keyed.try_acquire(&key) {
                    release(tool, &mut self.dice).await;
                }
            }
            _ => {}
        }
    }
}
