//! Closing: what callers, holders and closers see, and what is left.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use plunge::{Plain, Pool, PoolHooks, PoolOptions, Verdict, WeakPool};
use tokio::time::{Instant, sleep};

use crate::support::{Closing, Gate, Gates, Theatre, Unit, plain, until};

const SECOND: Duration = Duration::from_secs(1);

fn company(close: Closing) -> (Arc<Theatre>, Pool<Unit>) {
    let theatre = Theatre::new(Gates {
        close,
        ..Gates::default()
    });
    let pool = theatre.pool(PoolOptions::new().max_connections(3)).unwrap();
    (theatre, pool)
}

fn well() -> (Arc<Theatre>, Pool<Unit>) {
    company(Closing::Awaited(Gate::Ok))
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_holders() {
    let (theatre, pool) = well();
    let held = pool.acquire().await.unwrap();
    let closer = pool.clone();
    let close = tokio::spawn(async move { closer.close(SECOND).await });
    pool.close_event().await;
    assert!(pool.is_closed() && !close.is_finished());
    drop(held);
    assert!(close.await.unwrap().is_clean());
    assert_eq!((theatre.live(), theatre.closes.load(SeqCst)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_close_reports_who_holds_on_at_its_deadline() {
    let (theatre, pool) = well();
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let begun = Instant::now();
    let report = pool.close(SECOND).await;
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!((report.still_leased, report.still_closing), (2, 0));
    assert!(!report.is_clean());
    // Usable still, and retired when they come back.
    assert_eq!(held[0].number + held[1].number, 3);
    drop(held);
    assert!(pool.close(SECOND).await.is_clean());
    assert_eq!(theatre.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_close_reports_what_does_not_close() {
    let (theatre, pool) = company(Closing::Awaited(Gate::Never));
    drop(pool.acquire().await.unwrap());
    let report = pool.close(SECOND).await;
    assert_eq!((report.still_leased, report.still_closing), (0, 1));
    // Its own time-out ends it.
    assert!(pool.close(SECOND * 10).await.is_clean());
    assert_eq!(theatre.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_lowered_by_one_closes_one_that_is_idle() {
    let (_theatre, pool) = company(Closing::Awaited(Gate::Never));
    drop([
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ]);
    pool.tune(|tuning| tuning.max_connections = 2).unwrap();
    until("something is closed", || pool.stats().closing > 0).await;
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.closing), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_limit_lowered_by_one_closes_one_that_comes_back() {
    let (_theatre, pool) = company(Closing::Awaited(Gate::Never));
    let held = pool.acquire().await.unwrap();
    let returned = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    pool.tune(|tuning| tuning.max_connections = 2).unwrap();
    drop(returned);
    let stats = pool.stats();
    assert_eq!((stats.leased, stats.idle, stats.closing), (1, 1, 1));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn two_closes_at_once_both_return() {
    let (theatre, pool) = well();
    let held = pool.acquire().await.unwrap();
    let (first, second, ()) = tokio::join!(pool.close(SECOND), pool.close(SECOND * 2), async {
        drop(held);
    });
    assert!(first.is_clean() && second.is_clean());
    assert_eq!(theatre.closes.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_close_wakes_all_who_wait() {
    let (_, pool) = well();
    let _held = tokio::join!(pool.acquire(), pool.acquire(), pool.acquire());
    let (first, second, report) = tokio::join!(pool.acquire(), pool.acquire(), async {
        assert_eq!(pool.stats().waiting, 2);
        pool.close(Duration::ZERO).await
    });
    assert!(first.unwrap_err().is_closed() && second.unwrap_err().is_closed());
    assert_eq!(report.still_leased, 3);
    assert_eq!(pool.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_leaves_the_pool_closed() {
    let (theatre, pool) = well();
    let held = pool.acquire().await.unwrap();
    let mut close = Box::pin(pool.close(SECOND));
    assert!(futures::poll!(close.as_mut()).is_pending());
    drop(close);
    assert!(pool.is_closed());
    drop(held);
    until("the last is closed", || theatre.live() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_close_event_comes_to_all_and_stays() {
    let (_, pool) = well();
    let watchers = [0; 3].map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.close_event().await })
    });
    tokio::task::yield_now().await;
    pool.close(SECOND).await;
    for watcher in watchers {
        watcher.await.unwrap();
    }
    pool.close_event().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_pool_and_its_holders_go_on() {
    let (theatre, pool) = well();
    let idle = pool.acquire().await.unwrap();
    let held = pool.acquire().await.unwrap();
    drop(idle);
    let weak = pool.downgrade();
    let second = weak.upgrade().unwrap();
    drop(pool);
    assert!(!second.is_closed());
    drop(second);
    assert!(weak.upgrade().is_none());
    until("what was idle is closed", || theatre.live() == 1).await;
    assert_eq!(held.number, 2);
    drop(held);
    until("what was held is closed", || theatre.live() == 0).await;
    assert_eq!(theatre.closes.load(SeqCst), 2);
}

#[test]
fn a_pool_closed_outside_a_runtime_drops_in_place() {
    let (theatre, pool) = well();
    let runtime = crate::support::paused();
    let held = runtime.block_on(async {
        drop(pool.acquire().await.unwrap());
        pool.acquire().await.unwrap()
    });
    drop(runtime);
    drop(held);
    assert_eq!((pool.stats().idle, theatre.live()), (1, 1));
    drop(pool);
    assert_eq!(theatre.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_close_during_connects_leaves_nothing() {
    for gate in [Gate::Slow, Gate::Never, Gate::Transient, Gate::Error] {
        let theatre = Theatre::new(Gates {
            factory: gate,
            ..Gates::default()
        });
        let pool = theatre
            .pool(PoolOptions::new().max_connections(4).min_idle(2))
            .unwrap();
        let (first, report) = tokio::join!(pool.acquire(), async {
            until("a dial is under way", || pool.stats().connecting > 0).await;
            pool.close(SECOND).await
        });
        assert!(first.is_err(), "{gate:?}");
        assert!(report.is_clean(), "{gate:?}: {report:?}");
        assert_eq!((pool.stats().open, theatre.live()), (0, 0), "{gate:?}");
    }
}

/// Closes the pool from within a hook, awaiting the close where it may.
fn closing_hooks(late: &Arc<OnceLock<WeakPool<Plain<u64>>>>, at: &str) -> PoolHooks<Plain<u64>> {
    let late = Arc::clone(late);
    let close = move || {
        let pool = late.get().and_then(WeakPool::upgrade);
        async move {
            if let Some(pool) = pool {
                pool.close(Duration::from_millis(100)).await;
            }
            Ok(Verdict::Keep)
        }
    };
    match at {
        "after_create" => PoolHooks::new().after_create(move |_, _| Box::pin(close())),
        "before_acquire" => PoolHooks::new().before_acquire(move |_, _| Box::pin(close())),
        _ => PoolHooks::new().after_release(move |_, _| Box::pin(close())),
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_a_hook_awaits_ends_and_leaves_nothing() {
    for at in ["after_create", "before_acquire", "after_release"] {
        let late = Arc::new(OnceLock::new());
        let options = PoolOptions::new().max_connections(2);
        let pool = plain(options.hooks(closing_hooks(&late, at)));
        late.set(pool.downgrade()).unwrap();
        let begun = Instant::now();
        match pool.acquire().await {
            Ok(held) => {
                assert_eq!(at, "after_release");
                drop(held);
            }
            Err(error) => assert!(error.is_closed(), "{at}: {error}"),
        }
        until("it is closed", || pool.is_closed()).await;
        assert!(pool.close(SECOND).await.is_clean(), "{at}");
        assert!(begun.elapsed() < SECOND, "{at}");
        assert_eq!(pool.stats().open, 0, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn stragglers_are_told_with_the_time_they_are_held() {
    let pool = plain(PoolOptions::new().max_connections(3));
    let first = pool.acquire().await.unwrap();
    sleep(SECOND * 5).await;
    let second = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let report = pool.close(SECOND).await;
    assert_eq!((report.still_leased, report.stragglers.len()), (2, 2));
    let held = [0, 1].map(|at: usize| report.stragglers[at].metadata.held);
    assert!(
        held[0] >= SECOND * 6 && held[1] >= SECOND && held[1] < SECOND * 2,
        "{held:?}"
    );
    drop((first, second));
}

/// A waker that panics.
struct Cracked;

impl Wake for Cracked {
    fn wake(self: Arc<Self>) {
        panic!("as it should");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_is_whole_though_the_waker_of_a_caller_panics() {
    let (theatre, pool) = well();
    drop(pool.acquire().await.unwrap());
    // In line beside something idle.
    pool.suspend();
    let mut caller = Box::pin(pool.acquire());
    let cracked = Waker::from(Arc::new(Cracked));
    let polled = caller.as_mut().poll(&mut Context::from_waker(&cracked));
    assert!(polled.is_pending());
    let told = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close_event().await }
    });
    tokio::task::yield_now().await;
    let closed = AssertUnwindSafe(pool.close(SECOND)).catch_unwind().await;
    assert!(closed.is_err(), "it goes on to whoever closed");
    told.await.unwrap();
    assert!(caller.await.is_err_and(|error| error.is_closed()));
    assert!(pool.close(SECOND).await.is_clean());
    assert_eq!(theatre.live(), 0);
}
