//! What an acquire gives, when it gives nothing, and what it says then.

use std::error::Error;
use std::time::Duration;

use plunge::{AcquireErrorKind, AcquirePhase, Pool, PoolOptions, TryAcquireError};
use tokio::time::{Instant, sleep};

use crate::support::{Gate, Gates, HookGate, Theatre, Unit, plain, settled};

const SECOND: Duration = Duration::from_secs(1);

fn options(size: u32) -> PoolOptions<Unit> {
    PoolOptions::new()
        .max_connections(size)
        .acquire_timeout(SECOND)
}

fn pool_with(gates: Gates, size: u32) -> Pool<Unit> {
    Theatre::new(gates).pool(options(size)).unwrap()
}

fn pool_of(size: u32) -> Pool<Unit> {
    pool_with(Gates::default(), size)
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time_and_names_its_phase() {
    let pool = pool_of(1);
    let _held = pool.acquire().await.unwrap();
    let begun = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut(AcquirePhase::Wait));
    assert_eq!(begun.elapsed(), SECOND);
    let stats = error.stats();
    assert_eq!(
        (stats.leased, stats.waiting, stats.max_connections),
        (1, 0, 1)
    );
    assert_eq!(pool.stats().timed_out, 1);
    assert!(error.is_timeout() && error.connect_error().is_none());
    assert!(error.to_string().contains("1 leased of 1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_call_may_have_a_time_of_its_own() {
    let pool = pool_of(1);
    let _held = pool.acquire().await.unwrap();
    for limit in [Duration::ZERO, SECOND / 10, SECOND * 5] {
        let begun = Instant::now();
        assert!(pool.acquire_timeout(limit).await.unwrap_err().is_timeout());
        // Timers round up to the next millisecond.
        assert!(begun.elapsed() - limit <= Duration::from_millis(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_takes_too_long_names_its_phase() {
    let pool = pool_with(
        Gates {
            factory: Gate::Never,
            ..Gates::default()
        },
        1,
    );
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(
        error.kind(),
        AcquireErrorKind::TimedOut(AcquirePhase::Connect)
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_dial_says_why() {
    let steps = [
        (
            Gates {
                factory: Gate::Error,
                ..Gates::default()
            },
            "the gate is shut",
        ),
        (
            Gates {
                factory: Gate::Panic,
                ..Gates::default()
            },
            "connect panicked: the gate burst",
        ),
        (
            Gates {
                after_create: HookGate::Async(Gate::Error),
                ..Gates::default()
            },
            "the gate is shut",
        ),
        (
            Gates {
                after_create: HookGate::Sync(Gate::Discard),
                ..Gates::default()
            },
            "after_create discarded",
        ),
        (
            Gates {
                after_create: HookGate::Async(Gate::Panic),
                ..Gates::default()
            },
            "after_create panicked",
        ),
    ];
    for (gates, reason) in steps {
        let pool = pool_with(gates, 1);
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Connect, "{gates:?}");
        assert!(
            error.source().unwrap().to_string().contains(reason),
            "{error}"
        );
        let stats = settled(&pool).await;
        assert_eq!(
            (stats.open, stats.connect_failures, stats.opened),
            (0, 1, 0)
        );
        assert!(stats.last_connect_error.unwrap().contains(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn connect_timeout_bounds_the_dial_with_its_hook() {
    for gates in [
        Gates {
            factory: Gate::Never,
            ..Gates::default()
        },
        Gates {
            after_create: HookGate::Async(Gate::Never),
            ..Gates::default()
        },
    ] {
        let theatre = Theatre::new(gates);
        let pool = theatre
            .pool(options(1).connect_timeout(SECOND / 2))
            .unwrap();
        let begun = Instant::now();
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(error.kind(), AcquireErrorKind::Connect);
        assert!(
            error.to_string().contains("did not end within 500ms"),
            "{error}"
        );
        assert!(begun.elapsed() < SECOND * 6 / 10);
        assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn callers_wait_through_a_transient_failure() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Transient,
        ..Gates::default()
    });
    let pool = theatre.pool(options(2)).unwrap();
    let recovery = async {
        sleep(SECOND / 3).await;
        theatre.calm();
    };
    let (first, second, ()) = tokio::join!(pool.acquire(), pool.acquire(), recovery);
    assert!(first.is_ok() && second.is_ok());
    assert!(pool.stats().connect_failures > 0);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_that_stays_is_named_when_time_is_over() {
    let pool = pool_with(
        Gates {
            factory: Gate::Transient,
            ..Gates::default()
        },
        1,
    );
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(
        error.kind(),
        AcquireErrorKind::TimedOut(AcquirePhase::Connect)
    );
    assert!(
        error
            .connect_error()
            .unwrap()
            .to_string()
            .contains("shut for now")
    );
    // Half the pause at least: 25 ms, 50, 100, 200, 400 fit into a second.
    assert!(pool.stats().connect_failures <= 6, "{:?}", pool.stats());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_overcome_is_named_no_more() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Transient,
        ..Gates::default()
    });
    let pool = theatre.pool(options(2)).unwrap();
    let (held, ()) = tokio::join!(pool.acquire(), async {
        sleep(SECOND / 3).await;
        theatre.calm();
    });
    theatre.set(Gates {
        factory: Gate::Never,
        ..Gates::default()
    });
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(
        error.kind(),
        AcquireErrorKind::TimedOut(AcquirePhase::Connect)
    );
    assert!(error.connect_error().is_none(), "{error}");
    let kept = pool.stats().last_connect_error.unwrap();
    assert!(kept.contains("shut for now"), "kept in the statistics");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_max_waiters_is_told_at_once() {
    let theatre = Theatre::new(Gates::default());
    let pool = theatre.pool(options(1).max_waiters(1)).unwrap();
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let begun = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TooManyWaiters);
    assert_eq!(
        (begun.elapsed(), error.stats().waiting),
        (Duration::ZERO, 1)
    );
    drop(held);
    drop(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn try_acquire_takes_what_is_idle_and_never_opens_or_overtakes() {
    let pool = pool_of(1);
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Empty);
    assert_eq!(pool.stats().open, 0);
    let held = pool.acquire().await.unwrap();
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Empty);
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    drop(held);
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Empty);
    drop(waiting.await.unwrap());
    drop(pool.try_acquire().unwrap());
    pool.close(SECOND).await;
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Closed);
}

#[tokio::test(start_paused = true)]
async fn try_acquire_retires_the_dead_and_takes_the_next() {
    let theatre = Theatre::new(Gates::default());
    let pool = theatre.pool(options(2)).unwrap();
    drop((pool.acquire().await.unwrap(), pool.acquire().await.unwrap()));
    theatre.set(Gates {
        health: Gate::Discard,
        ..Gates::default()
    });
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Empty);
    assert_eq!(settled(&pool).await.found_dead, 2);
    assert_eq!(theatre.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_after_close_is_an_error_at_once() {
    let pool = pool_of(1);
    pool.close(SECOND).await;
    let begun = Instant::now();
    let error = pool.acquire().await.unwrap_err();
    assert!(error.is_closed() && !error.is_timeout());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn each_acquire_is_counted_once() {
    let pool = plain(PoolOptions::new().max_connections(2));
    for count in 1..=100 {
        let mut connection = pool.acquire().await.unwrap();
        if count % 3 == 0 {
            connection.mark_broken();
        }
        drop(connection);
        assert_eq!(pool.stats().acquired, count);
    }
}

#[test]
fn a_miss_without_a_runtime_is_an_error_and_a_hit_is_none() {
    let pool = plain(PoolOptions::new().max_connections(1));
    let error = futures::executor::block_on(pool.acquire()).unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    assert_eq!(pool.stats().open, 0);
    let runtime = crate::support::paused();
    drop(runtime.block_on(pool.acquire()).unwrap());
    drop(futures::executor::block_on(pool.acquire()).unwrap());
    drop(pool.try_acquire().unwrap());
    assert_eq!(pool.stats().idle, 1);
}
