//! A storm of cancellations: acquires that are polled a few times and dropped wherever they are, in
//! line, handed over, in a check, in a hook, while factory, hooks, health, check and close wait, fail
//! and panic.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use plunge::{AcquireError, AcquireErrorKind, Fairness, IdleOrder, Pool, PoolConnection};
use tokio::task::{JoinSet, yield_now};

use crate::dice::Dice;
use crate::hooks::Hooks;
use crate::round::{Setting, check, runtime, wait_for};
use crate::shop::{Shop, Tool};

/// Where acquires were dropped, and what became of the others.
#[derive(Debug, Default)]
pub struct Dropped {
    /// Before their first poll.
    pub unpolled: AtomicU64,
    /// Told of something that they did not come to see: a hand-off, a permit, the time.
    pub told: AtomicU64,
    /// In a check or a hook.
    pub looking: AtomicU64,
    /// Anywhere after their first poll: those told and looking, and those in line.
    pub waiting: AtomicU64,
    pub served: AtomicU64,
    pub refused: AtomicU64,
    pub opened: AtomicU64,
}

/// Whether a future was woken since its last poll.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[derive(Debug)]
pub struct Storm {
    seed: u64,
    size: u32,
    hooks: Hooks,
    closes: bool,
    setting: Setting,
}

impl Storm {
    pub fn roll(dice: &mut Dice) -> Self {
        let size = dice.pick(&[1, 2, 3, 8]);
        let fairness = [
            Fairness::Fifo,
            Fairness::Fifo,
            Fairness::Barging,
            Fairness::Eventual(Duration::from_millis(1)),
        ];
        let orders = [IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo];
        Self {
            seed: dice.below(u64::MAX),
            size,
            hooks: dice.pick(&[Hooks::None, Hooks::Sync, Hooks::Async, Hooks::Async]),
            closes: dice.percent(50),
            setting: Setting {
                size,
                fairness: dice.pick(&fairness),
                order: dice.pick(&orders),
                max_connecting: 1 + dice.below(4) as u32,
                min_idle: dice.pick(&[0, 0, size.min(2)]),
                check_after: dice.pick(&[Duration::ZERO, Duration::from_secs(1)]),
            },
        }
    }

    /// Drops so many acquires after their first poll; then the pool is whole, or it panics.
    pub fn play(&self, count: u64, dropped: &Arc<Dropped>) {
        let mut dice = Dice::new(self.seed);
        let shop = Shop::new(dice.fork(), self.size, 2);
        let runtime = runtime();
        let pool = {
            let _entered = runtime.enter();
            self.setting.pool(&shop, self.closes, self.hooks)
        };
        let end = dropped.waiting.load(SeqCst) + count;
        let mut tasks = JoinSet::new();
        for _ in 0..2 * self.size + 8 {
            let task = task(pool.clone(), dice.fork(), end, Arc::clone(dropped));
            tasks.spawn_on(task, runtime.handle());
        }
        runtime.block_on(async {
            while let Some(task) = tasks.join_next().await {
                task.expect("no task fails");
            }
            check(&pool, &shop).await;
        });
        drop(pool);
        wait_for("every tool is dropped", || shop.live() == 0);
        dropped
            .looking
            .fetch_add(shop.cut_short.load(SeqCst), SeqCst);
        dropped.opened.fetch_add(shop.made.load(SeqCst), SeqCst);
    }
}

async fn task(pool: Pool<Tool>, mut dice: Dice, end: u64, dropped: Arc<Dropped>) {
    while dropped.waiting.load(SeqCst) < end {
        match polled(pool.acquire(), &mut dice, &dropped).await {
            Some(Ok(tool)) => {
                dropped.served.fetch_add(1, SeqCst);
                tool.grasp();
                for _ in 0..dice.below(3) {
                    yield_now().await;
                }
                tool.let_go();
                release(tool, &mut dice).await;
            }
            Some(Err(error)) => {
                // The time is far longer than a round: somebody was forgotten.
                assert_eq!(error.kind(), AcquireErrorKind::Connect, "{error:?}");
                dropped.refused.fetch_add(1, SeqCst);
                yield_now().await;
            }
            None => {}
        }
    }
}

/// What comes of an acquire.
pub type Acquired = Result<PoolConnection<Tool>, AcquireError>;

/// Polls an acquire some times; `None`: dropped before it was over.
pub async fn polled(
    acquire: impl Future<Output = Acquired>,
    dice: &mut Dice,
    dropped: &Dropped,
) -> Option<Acquired> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    // Few, to be dropped in line; many, to get as far as a check and a hook.
    let polls = dice.pick(&[0, 1, 1, 2, 3, 5, 20, 100, 500]);
    let mut acquire = pin!(acquire);
    for _ in 0..polls {
        bell.0.store(false, SeqCst);
        let polled = acquire.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(acquired) = polled {
            return Some(acquired);
        }
        for _ in 0..dice.below(3) {
            yield_now().await;
        }
    }
    let count = match polls {
        0 => &dropped.unpolled,
        _ => &dropped.waiting,
    };
    count.fetch_add(1, SeqCst);
    dropped
        .told
        .fetch_add(u64::from(bell.0.load(SeqCst)), SeqCst);
    None
}

pub async fn release(mut tool: PoolConnection<Tool>, dice: &mut Dice) {
    match dice.below(300) {
        0 => tool.mark_broken(),
        1 => tool.fall_ill(),
        2 => {
            tool.leave();
            drop(tool.detach());
        }
        3 => tool.close().await,
        // Given up half way.
        4 => drop(futures::poll!(std::pin::pin!(tool.close()))),
        5 => {
            let unwinding = tokio::spawn(async move {
                let _held = tool;
                std::panic::resume_unwind(Box::new("a task in trouble"))
            });
            assert!(unwinding.await.is_err());
        }
        _ => drop(tool),
    }
}
