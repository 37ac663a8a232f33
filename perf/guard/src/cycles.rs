//! Cycles: the cases that are counted, each a number of equal cycles and nothing else.
//!
//! Promise: one thread, no timer that fires: the same instructions at each run.
//! Cost: the cycles.

use std::convert::Infallible;
use std::pin::pin;

use plunge::{Plain, Pool, PoolOptions};
use tokio::runtime::Builder;
use tokio::task::{unconstrained, yield_now};

use crate::Failure;
use crate::plant::Plant;

/// A case.
pub struct Counted {
    pub name: &'static str,
    /// What one cycle of it is.
    pub is: &'static str,
    /// How many are counted: so many that a few thousand instructions of somebody else are rounding.
    pub cycles: usize,
    /// By what part its instructions may vary: what a new build of the same source may, more where a clock
    /// takes part and a timer may or may not fire within the run, or where memory is allocated: one and the same
    /// program takes 3 % more for a dial with another word among its arguments.
    pub slack: f64,
}

/// The cases.
#[rustfmt::skip]
pub const CASES: &[Counted] = &[
    Counted { name: "hit", is: "acquire and release, idle connections at hand", cycles: 20_000, slack: 0.01 },
    Counted { name: "try_hit", is: "try_acquire and release", cycles: 20_000, slack: 0.01 },
    Counted { name: "refused", is: "try_acquire where nothing is idle", cycles: 20_000, slack: 0.01 },
    Counted { name: "handoff", is: "a release into a caller that waits", cycles: 10_000, slack: 0.02 },
    Counted { name: "cancelled", is: "a wait that is dropped in line", cycles: 20_000, slack: 0.02 },
    Counted { name: "handle", is: "clone and drop of a pool's handle", cycles: 20_000, slack: 0.01 },
    Counted { name: "stats", is: "a snapshot of the statistics", cycles: 20_000, slack: 0.01 },
    Counted { name: "replaced", is: "acquire, detach, and the dial of another", cycles: 1_000, slack: 0.04 },
];

/// The names of the cases.
pub fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// The child's side: runs a case.
pub fn run(case: &str, cycles: usize, plant: Plant) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Input(format!("no runtime: {error}")))?;
    let known = runtime.block_on(async {
        let size = if matches!(case, "hit" | "try_hit") {
            16
        } else {
            1
        };
        let pool = pool(size).await;
        match case {
            "hit" => hit(&pool, cycles, plant).await,
            "try_hit" => (0..cycles).for_each(|_| drop(std::hint::black_box(pool.try_acquire()))),
            "refused" => refused(&pool, cycles).await,
            // Out of its share, a task would neither wait nor leave a line.
            "handoff" => unconstrained(handoff(&pool, cycles)).await,
            "cancelled" => unconstrained(cancelled(&pool, cycles)).await,
            "handle" => (0..cycles).for_each(|_| drop(std::hint::black_box(pool.clone()))),
            "stats" => (0..cycles).for_each(|_| {
                std::hint::black_box(pool.stats());
            }),
            "replaced" => replaced(&pool, cycles).await,
            _ => return false,
        }
        true
    });
    match known {
        true => Ok(()),
        false => Err(Failure::Input(format!(
            "there is no case '{case}' to count"
        ))),
    }
}

type Zeros = Pool<Plain<u64>>;

/// A pool with every connection open and idle.
async fn pool(size: u32) -> Zeros {
    let options = PoolOptions::new().max_connections(size);
    let pool = options.connect_with(|| async { Ok::<_, Infallible>(Plain(0)) });
    let pool = pool.expect("the options are valid");
    let mut held = Vec::new();
    for _ in 0..size {
        held.push(pool.acquire().await.expect("the factory never fails"));
    }
    drop(held);
    pool
}

async fn hit(pool: &Zeros, cycles: usize, plant: Plant) {
    for _ in 0..cycles {
        plant.act();
        drop(std::hint::black_box(pool.acquire().await));
    }
}

async fn refused(pool: &Zeros, cycles: usize) {
    let held = pool.acquire().await;
    for _ in 0..cycles {
        assert!(std::hint::black_box(pool.try_acquire()).is_err());
    }
    drop(held);
}

async fn handoff(pool: &Zeros, cycles: usize) {
    let mut held = pool.acquire().await;
    for cycle in 0..cycles {
        let mut waiting = pin!(pool.acquire());
        assert!(is_pending(waiting.as_mut()).await, "it is held");
        drop(held);
        held = waiting.await;
        give_way(cycle).await;
    }
}

async fn cancelled(pool: &Zeros, cycles: usize) {
    let held = pool.acquire().await;
    // Somebody waits all the time, so the clock of the pool runs.
    let mut waiting = pin!(pool.acquire());
    assert!(is_pending(waiting.as_mut()).await, "it is held");
    for cycle in 0..cycles {
        assert!(is_pending(pin!(pool.acquire())).await, "it is held");
        give_way(cycle).await;
    }
    drop(held);
}

/// Lets the pool's own task run now and then: where it is late, each wait would see to it.
async fn give_way(cycle: usize) {
    if cycle.is_multiple_of(64) {
        yield_now().await;
    }
}

async fn replaced(pool: &Zeros, cycles: usize) {
    for _ in 0..cycles {
        let connection = pool.acquire().await.expect("the factory never fails");
        std::hint::black_box(connection.detach());
    }
}

/// Polls once.
async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}
