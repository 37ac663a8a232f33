//! What the pool does with connections that turn out to be of no use.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plunge::{
    AcquireErrorKind, AcquirePhase, Pool, PoolHooks, PoolOptions, TryAcquireError, Verdict,
    WeakPool,
};
use tokio::time::{Instant, sleep};

use crate::support::{Closing, Gate, Gates, HookGate, Theatre, Unit, plain, settled};

fn options(size: u32) -> PoolOptions<Unit> {
    PoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(1))
}

/// All of a pool's connections open and idle.
async fn filled(theatre: &Arc<Theatre>, size: u32) -> Pool<Unit> {
    let pool = theatre.pool(options(size)).unwrap();
    let mut held = Vec::new();
    for _ in 0..size {
        held.push(pool.acquire().await.unwrap());
    }
    drop(held);
    assert_eq!(pool.stats().idle, size);
    pool
}

#[tokio::test(start_paused = true)]
async fn new_connections_that_are_refused_at_once_are_no_storm() {
    for gates in [
        Gates {
            health: Gate::Discard,
            ..Gates::default()
        },
        Gates {
            before_acquire: HookGate::Sync(Gate::Discard),
            ..Gates::default()
        },
        Gates {
            before_acquire: HookGate::Async(Gate::Panic),
            ..Gates::default()
        },
    ] {
        let theatre = Theatre::new(gates);
        let pool = theatre.pool(options(2)).unwrap();
        let error = pool.acquire().await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert!(theatre.made() < 20, "{} opened in a second", theatre.made());
        assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn no_stale_connection_is_handed_out_unchecked() {
    let theatre = Theatre::new(Gates::default());
    let pool = filled(&theatre, 8).await;
    sleep(Duration::from_secs(60)).await;
    theatre.set(Gates {
        check: Gate::Error,
        ..Gates::default()
    });
    let connection = pool.acquire().await.unwrap();
    assert!(
        connection.number > 8,
        "number {} is dead",
        connection.number
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_its_check_is_replaced() {
    for check in [Gate::Error, Gate::Panic] {
        let theatre = Theatre::new(Gates::default());
        let pool = filled(&theatre, 1).await;
        sleep(Duration::from_secs(2)).await;
        theatre.set(Gates {
            check,
            ..Gates::default()
        });
        assert_eq!(pool.acquire().await.unwrap().number, 2);
        assert_eq!(theatre.checks.load(SeqCst), 1);
        let stats = settled(&pool).await;
        assert_eq!((stats.found_dead, stats.retired, theatre.live()), (1, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_is_made_after_check_after_idle_and_not_before() {
    let theatre = Theatre::new(Gates::default());
    let options = options(1).check_after_idle(Duration::from_secs(3));
    let pool = theatre.pool(options).unwrap();
    drop(pool.acquire().await.unwrap());
    // The coarse clock is exact to its tick, which is 100 ms.
    sleep(Duration::from_millis(2_800)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(theatre.checks.load(SeqCst), 0);
    sleep(Duration::from_millis(3_100)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(theatre.checks.load(SeqCst), 1);
    drop(pool.acquire().await.unwrap());
    assert_eq!(theatre.checks.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_is_not_checked() {
    let theatre = Theatre::new(Gates {
        check: Gate::Error,
        ..Gates::default()
    });
    let pool = theatre
        .pool(options(1).check_after_idle(Duration::ZERO))
        .unwrap();
    drop(pool.acquire().await.unwrap());
    assert_eq!(theatre.checks.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_check_costs_its_connection_and_not_the_acquire() {
    let theatre = Theatre::new(Gates::default());
    let pool = filled(&theatre, 1).await;
    sleep(Duration::from_secs(2)).await;
    theatre.set(Gates {
        check: Gate::Never,
        ..Gates::default()
    });
    // Half of the time goes to the check; the rest opens another connection.
    drop(pool.acquire().await.unwrap());
    assert_eq!((theatre.checks.load(SeqCst), theatre.live()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_overdue_hook_costs_its_connection_and_names_its_phase() {
    let never = HookGate::Async(Gate::Never);
    let theatre = Theatre::new(Gates {
        before_acquire: never,
        ..Gates::default()
    });
    let pool = theatre.pool(options(1)).unwrap();
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::TimedOut(AcquirePhase::Hook));
    assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drop_that_panics_frees_its_place() {
    let close = Closing::InPlace(Gate::Panic);
    let theatre = Theatre::new(Gates {
        close,
        ..Gates::default()
    });
    let pool = theatre.pool(options(1)).unwrap();
    for _ in 0..3 {
        pool.acquire().await.unwrap().mark_broken();
    }
    assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_cut_off_and_panics_in_its_drop_frees_its_place() {
    let theatre = Theatre::new(Gates {
        close: Closing::InPlace(Gate::Never),
        ..Gates::default()
    });
    let pool = theatre.pool(options(1)).unwrap();
    let held = pool.acquire().await.unwrap();
    let close = tokio::spawn(held.close());
    sleep(Duration::from_millis(1)).await;
    theatre.set(Gates {
        close: Closing::InPlace(Gate::Panic),
        ..Gates::default()
    });
    assert!(close.await.is_ok(), "the panic stays with the connection");
    assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_given_up_keeps_the_panic_of_its_drop_to_itself() {
    let theatre = Theatre::new(Gates {
        close: Closing::InPlace(Gate::Never),
        ..Gates::default()
    });
    let pool = theatre.pool(options(1)).unwrap();
    let mut close = Box::pin(pool.acquire().await.unwrap().close());
    assert!(futures::poll!(close.as_mut()).is_pending());
    theatre.set(Gates {
        close: Closing::InPlace(Gate::Panic),
        ..Gates::default()
    });
    drop(close);
    assert_eq!((settled(&pool).await.open, theatre.live()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_goes_to_the_line_again_keeps_its_time() {
    let theatre = Theatre::new(Gates {
        before_acquire: HookGate::Sync(Gate::Discard),
        ..Gates::default()
    });
    let pause = Duration::from_millis(10);
    let options = options(1).connect_backoff(pause, pause);
    let pool = theatre.pool(options).unwrap();
    let limit = Duration::from_millis(1_050);
    let begun = Instant::now();
    let late = async {
        // Between two ticks of the pool's clock, the last one before the end behind it.
        sleep(Duration::from_millis(1_010)).await;
        theatre.set(Gates {
            factory: Gate::Never,
            ..theatre.gates()
        });
    };
    let (acquired, ()) = tokio::join!(pool.acquire_timeout(limit), late);
    assert!(acquired.unwrap_err().is_timeout());
    // Timers round up to the next millisecond.
    assert!(begun.elapsed() - limit <= Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_closes_the_pool_leaves_try_acquire_nothing() {
    let late = Arc::new(OnceLock::<WeakPool<_>>::new());
    let seen = Arc::clone(&late);
    let hooks = PoolHooks::new().before_acquire_sync(move |_, _| {
        if let Some(pool) = seen.get().and_then(WeakPool::upgrade) {
            let _ = futures::FutureExt::now_or_never(pool.close(Duration::ZERO));
        }
        Verdict::Keep
    });
    let pool = plain(PoolOptions::new().max_connections(1).hooks(hooks));
    drop(pool.acquire().await.unwrap());
    late.set(pool.downgrade()).unwrap();
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(settled(&pool).await.open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_try_acquire_shows_nothing_to_the_release_hook() {
    let gates = Gates {
        before_acquire: HookGate::Async(Gate::Ok),
        after_release: HookGate::Sync(Gate::Ok),
        ..Gates::default()
    };
    let theatre = Theatre::new(gates);
    let pool = filled(&theatre, 1).await;
    theatre.set(Gates {
        after_release: HookGate::Sync(Gate::Discard),
        ..gates
    });
    assert_eq!(pool.try_acquire().unwrap_err(), TryAcquireError::NeedsAwait);
    assert_eq!(pool.stats().idle, 1);
}
