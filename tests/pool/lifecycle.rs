//! The life of a pool while it runs: filled, aged, tuned, suspended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use plunge::{AcquireErrorKind, Pool, PoolHooks, PoolOptions, Verdict};
use tokio::time::sleep;

use crate::support::{Closing, Gate, Gates, Theatre, Unit, plain, settled, until};

const SECOND: Duration = Duration::from_secs(1);

fn theatre() -> Arc<Theatre> {
    Theatre::new(Gates::default())
}

/// Takes all that may be open, and lets go of it.
async fn fill(pool: &Pool<Unit>, count: u32) {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(pool.acquire().await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_ready_when_min_idle_are_open() {
    let theatre = theatre();
    let options = PoolOptions::new().max_connections(8).min_idle(3);
    let pool = theatre.pool(options).unwrap();
    pool.wait_ready().await.unwrap();
    let stats = settled(&pool).await;
    assert_eq!((stats.idle, stats.opened), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_acquire_while_min_idle_is_filled_opens_one_more_and_not_two() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Slow,
        ..Gates::default()
    });
    for (min_idle, most) in [(1, 2), (3, 4)] {
        let options = PoolOptions::new().max_connections(8).min_idle(min_idle);
        let pool = theatre.pool(options).unwrap();
        until("it is being filled", || pool.stats().connecting == min_idle).await;
        sleep(Gate::SLOW / 2).await;
        let held = pool.acquire().await.unwrap();
        pool.wait_ready().await.unwrap();
        sleep(SECOND).await;
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.opened), (min_idle, most), "{stats:?}");
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_skipped_leaves_min_idle_to_be_filled() {
    let theatre = theatre();
    let options = PoolOptions::new().max_connections(3).min_idle(1);
    let pool = theatre.pool(options).unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
    }
    held.pop().unwrap().detach();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert_eq!(pool.stats().connecting, 1);
    // Before that dial could begin, its waiter is served.
    drop(held.pop());
    let served = waiting.await.unwrap();
    until("one is idle", || pool.stats().idle == 1).await;
    assert_eq!(pool.stats().opened, 4);
    drop((held, served));
}

#[tokio::test(start_paused = true)]
async fn what_keeps_a_pool_from_being_ready_is_told() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Error,
        ..Gates::default()
    });
    let pool = theatre.pool(PoolOptions::new().min_idle(1)).unwrap();
    let error = pool.wait_ready().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    assert!(error.to_string().contains("the gate is shut"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn min_idle_is_refilled_after_a_loss() {
    let theatre = theatre();
    let options = PoolOptions::new().max_connections(8).min_idle(3);
    let pool = theatre.pool(options).unwrap();
    pool.wait_ready().await.unwrap();
    for _ in 0..3 {
        pool.acquire().await.unwrap().mark_broken();
    }
    until("three are idle again", || pool.stats().idle == 3).await;
    assert_eq!(theatre.live(), 3);
}

#[tokio::test(start_paused = true)]
async fn min_idle_is_refilled_when_a_place_is_free_however_long_that_takes() {
    let (at_once, late) = (Closing::InPlace(Gate::Ok), Closing::Awaited(Gate::Never));
    for (close, is_detached) in [(at_once, false), (late, false), (at_once, true)] {
        let theatre = Theatre::new(Gates {
            close,
            ..Gates::default()
        });
        let options = PoolOptions::new().max_connections(1).min_idle(1);
        let pool = theatre.pool(options.close_timeout(SECOND * 9)).unwrap();
        let mut held = pool.acquire().await.unwrap();
        sleep(SECOND * 9).await; // nobody looks any more
        if is_detached {
            drop(held.detach());
        } else {
            held.mark_broken();
            drop(held);
        }
        until("one is idle again", || pool.stats().idle == 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_retired_in_time_but_never_below_min_idle() {
    let theatre = theatre();
    let options = PoolOptions::new()
        .max_connections(8)
        .min_idle(2)
        .idle_timeout(SECOND * 10);
    let pool = theatre.pool(options).unwrap();
    fill(&pool, 8).await;
    sleep(SECOND * 9).await;
    assert_eq!(pool.stats().idle, 8);
    sleep(SECOND * 2).await;
    assert_eq!(pool.stats().idle, 2);
    let made = theatre.made();
    sleep(SECOND * 100).await;
    assert_eq!(
        (pool.stats().idle, theatre.made()),
        (2, made),
        "the last two are left alone"
    );
}

#[tokio::test(start_paused = true)]
async fn old_connections_go_one_after_the_other_and_are_replaced() {
    let theatre = theatre();
    let options = PoolOptions::new()
        .max_connections(32)
        .min_idle(32)
        .max_connecting(32)
        .max_lifetime(SECOND * 100);
    let pool = theatre.pool(options).unwrap();
    pool.wait_ready().await.unwrap();
    until("all are open", || pool.stats().idle == 32).await;
    sleep(SECOND * 89).await;
    assert_eq!(pool.stats().retired, 0, "nothing goes before nine tenths");
    let mut steps = Vec::new();
    for _ in 0..11 {
        sleep(SECOND).await;
        steps.push(pool.stats().retired);
    }
    steps.dedup();
    assert!(steps.len() > 5, "they go apart: {steps:?}");
    assert!(*steps.last().unwrap() >= 32, "{steps:?}");
    until("all are replaced", || pool.stats().idle == 32).await;
}

#[tokio::test(start_paused = true)]
async fn an_eviction_retires_idle_ones_at_once_and_held_ones_as_they_return() {
    let theatre = theatre();
    let pool = theatre.pool(PoolOptions::new().max_connections(4)).unwrap();
    fill(&pool, 4).await;
    let held = pool.acquire().await.unwrap();
    pool.evict_all();
    until("the idle ones are gone", || theatre.live() == 1).await;
    assert_eq!(held.metadata().generation, 0);
    drop(held);
    until("and the held one", || theatre.live() == 0).await;
    assert_eq!(pool.acquire().await.unwrap().metadata().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_pool_hands_out_nothing_and_a_resumed_one_serves_who_waited() {
    let theatre = theatre();
    let pool = theatre.pool(PoolOptions::new().max_connections(2)).unwrap();
    let held = pool.acquire().await.unwrap();
    pool.suspend();
    drop(held);
    let error = pool.acquire_timeout(SECOND / 10).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(pool.stats().idle, 1);
    let mut waiting = Box::pin(futures::future::join(pool.acquire(), pool.acquire()));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    pool.resume();
    let (first, second) = waiting.await;
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hook_set_at_run_time_is_called_from_then_on() {
    let pool = plain(PoolOptions::new().max_connections(1));
    drop(pool.acquire().await.unwrap());
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let hooks = Arc::new(PoolHooks::new().before_acquire_sync(move |_, _| {
        count.fetch_add(1, SeqCst);
        Verdict::Keep
    }));
    pool.tune(|tuning| tuning.hooks = Arc::clone(&hooks))
        .unwrap();
    drop(pool.acquire().await.unwrap());
    assert_eq!(calls.load(SeqCst), 1);
    pool.tune(|tuning| tuning.hooks = Arc::default()).unwrap();
    drop(pool.acquire().await.unwrap());
    assert_eq!(calls.load(SeqCst), 1);
}

/// Callers that take and let go until they are told to stop; tells how many cycles they made.
fn load(
    pool: &Pool<Unit>,
    callers: u64,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<u64>> {
    (0..callers)
        .map(|number| {
            let (pool, stop) = (pool.clone(), Arc::clone(stop));
            tokio::spawn(async move {
                let mut cycles = 0;
                while !stop.load(SeqCst) {
                    let held = pool.acquire().await.unwrap();
                    sleep(Duration::from_millis(1 + number % 5)).await;
                    drop(held);
                    cycles += 1;
                }
                cycles
            })
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_and_rises_under_load_is_kept_and_strands_nobody() {
    let theatre = theatre();
    let options = PoolOptions::new()
        .max_connections(16)
        .max_connections_ceiling(64)
        .max_connecting(64);
    let pool = theatre.pool(options).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load(&pool, 100, &stop);
    for limit in [16, 4, 64, 4, 16] {
        pool.tune(|tuning| tuning.max_connections = limit).unwrap();
        until("what is too many is gone", || pool.stats().open <= limit).await;
        for _ in 0..200 {
            sleep(Duration::from_millis(1)).await;
            let stats = pool.stats();
            assert!(stats.open <= limit, "{stats:?}");
        }
        assert_eq!(pool.stats().open, limit, "all of it is used");
        assert_eq!(theatre.live(), limit);
    }
    stop.store(true, SeqCst);
    for caller in callers {
        assert!(caller.await.unwrap() > 10, "nobody was left behind");
    }
    assert_eq!(settled(&pool).await.idle, 16);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_was_never_opened_shrinks_and_grows() {
    let theatre = theatre();
    let options = PoolOptions::new().max_connections(8);
    let pool = theatre.pool(options).unwrap();
    pool.tune(|tuning| tuning.max_connections = 1).unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    sleep(SECOND / 2).await;
    assert_eq!(pool.stats().open, 1);
    pool.tune(|tuning| tuning.max_connections = 2).unwrap();
    assert!(waiting.await.is_ok());
    drop(held);
}
