//! Connecting is the pool's job: how many dials are made, for whom, and what cuts them short.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use plunge::{Plain, Pool, PoolOptions};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::support::{settled, until};

/// A factory whose dials end when the test lets them.
struct Exchange {
    begun: AtomicU32,
    busy: AtomicU32,
    busiest: AtomicU32,
    let_through: Semaphore,
}

impl Exchange {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            busiest: AtomicU32::new(0),
            let_through: Semaphore::new(0),
        })
    }

    fn begun(&self) -> u32 {
        self.begun.load(SeqCst)
    }

    fn pool(self: &Arc<Self>, options: PoolOptions<Plain<u64>>) -> Pool<Plain<u64>> {
        let exchange = Arc::clone(self);
        let dial = move || {
            let exchange = Arc::clone(&exchange);
            async move {
                exchange.begun.fetch_add(1, SeqCst);
                let busy = exchange.busy.fetch_add(1, SeqCst) + 1;
                exchange.busiest.fetch_max(busy, SeqCst);
                exchange.let_through.acquire().await.unwrap().forget();
                exchange.busy.fetch_sub(1, SeqCst);
                Ok::<_, Infallible>(Plain(0))
            }
        };
        options.connect_with(dial).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_undo_its_dial() {
    let exchange = Exchange::new();
    let pool = exchange.pool(PoolOptions::new().max_connections(1));
    let mut acquire = Box::pin(pool.acquire());
    assert!(futures::poll!(acquire.as_mut()).is_pending());
    until("the dial begins", || exchange.begun() == 1).await;
    drop(acquire);
    assert_eq!(pool.stats().connecting, 1);
    exchange.let_through.add_permits(1);
    assert_eq!(settled(&pool).await.idle, 1);
    drop(pool.try_acquire().unwrap());
}

#[tokio::test(start_paused = true)]
async fn dials_that_returns_made_needless_are_skipped() {
    let exchange = Exchange::new();
    let pool = exchange.pool(PoolOptions::new().max_connections(10).max_connecting(10));
    exchange.let_through.add_permits(5);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.acquire().await.unwrap());
    }
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut acquire = Box::pin(pool.acquire());
        assert!(futures::poll!(acquire.as_mut()).is_pending());
        waiting.push(acquire);
    }
    assert_eq!(pool.stats().connecting, 5);
    // All come back before the tasks of the dials are polled.
    held.clear();
    for acquire in waiting {
        held.push(acquire.await.unwrap());
    }
    held.clear();
    let stats = settled(&pool).await;
    assert_eq!((exchange.begun(), stats.open, stats.idle), (5, 5, 5));
}

#[tokio::test(start_paused = true)]
async fn max_connecting_bounds_the_dials_at_once_and_all_are_served() {
    let exchange = Exchange::new();
    let pool = exchange.pool(PoolOptions::new().max_connections(9).max_connecting(2));
    let callers = (0..9)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.acquire().await.unwrap() })
        })
        .collect::<Vec<_>>();
    until("two dials are under way", || exchange.begun() == 2).await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(exchange.begun(), 2);
    let mut held = Vec::new();
    exchange.let_through.add_permits(9);
    for caller in callers {
        held.push(caller.await.unwrap());
    }
    assert_eq!(exchange.busiest.load(SeqCst), 2);
    assert_eq!((pool.stats().leased, pool.stats().opened), (9, 9));
}

#[tokio::test(start_paused = true)]
async fn a_return_serves_a_caller_whose_dial_is_slow() {
    let exchange = Exchange::new();
    let pool = exchange.pool(PoolOptions::new().max_connections(2));
    exchange.let_through.add_permits(1);
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    until("its dial is under way", || exchange.begun() == 2).await;
    drop(held);
    drop(waiting.await.unwrap());
    exchange.let_through.add_permits(1);
    assert_eq!(settled(&pool).await.idle, 2);
}

#[tokio::test(start_paused = true)]
async fn a_close_cuts_dials_short() {
    let exchange = Exchange::new();
    let pool = exchange.pool(PoolOptions::new().max_connections(2));
    let callers = tokio::join!(pool.acquire(), pool.acquire(), async {
        until("both dials are under way", || exchange.begun() == 2).await;
        let report = pool.close(Duration::from_secs(1)).await;
        assert!(report.is_clean(), "{report:?}");
    });
    assert!(callers.0.unwrap_err().is_closed() && callers.1.unwrap_err().is_closed());
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dial_dropped_with_its_runtime_frees_its_place() {
    let exchange = Exchange::new();
    let other = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build();
    let other = other.unwrap();
    let options = PoolOptions::new()
        .max_connections(1)
        .runtime(other.handle().clone());
    let pool = exchange.pool(options.acquire_timeout(Duration::from_secs(3600)));
    let mut acquire = Box::pin(pool.acquire());
    assert!(futures::poll!(acquire.as_mut()).is_pending());
    // The other runtime's thread runs in real time.
    while exchange.begun() == 0 {
        std::thread::yield_now();
    }
    let gone = std::thread::spawn(move || other.shutdown_timeout(Duration::from_secs(60)));
    gone.join().unwrap();
    exchange.let_through.add_permits(2);
    drop(acquire.await.unwrap());
    assert_eq!(settled(&pool).await.idle, 1);
}
