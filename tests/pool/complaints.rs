//! What users of other pools report again and again, as facts about this one.
//!
//! The first line of each says what is known to go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use plunge::{AcquireErrorKind, Pool, PoolOptions};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use crate::support::{Closing, Gate, Gates, HookGate, Theatre, Unit, settled, until};

fn options(size: u32) -> PoolOptions<Unit> {
    PoolOptions::new()
        .max_connections(size)
        .max_connecting(size)
        .acquire_timeout(Duration::from_secs(120))
}

fn pool(gates: Gates, options: PoolOptions<Unit>) -> (Arc<Theatre>, Pool<Unit>) {
    let theatre = Theatre::new(gates);
    let pool = theatre.pool(options).unwrap();
    (theatre, pool)
}

/// A woken waiter has to win its connection again, and some lose for seconds.
#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_on_fifty_connections_wait_alike() {
    let (_theatre, pool) = pool(Gates::default(), options(50));
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..20 {
                let begun = Instant::now();
                let held = pool.acquire().await.unwrap();
                waits.push(begun.elapsed());
                sleep(Duration::from_micros(1_500)).await;
                drop(held);
            }
            // The first comes while the line forms: there the last wait for all the others.
            waits.split_off(1)
        });
    }
    let mut waits = tasks.join_all().await.concat();
    waits.sort_unstable();
    let (half, most) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    assert!(most <= half * 3 / 2, "p50 {half:?}, p99 {most:?}");
}

/// Those who gave up stay in line, and connections are offered to them one by one.
#[tokio::test(start_paused = true)]
async fn thousands_of_expired_waiters_never_starve_a_live_one() {
    let (_theatre, pool) = pool(Gates::default(), options(1));
    let held = pool.acquire().await.unwrap();
    let mut expired = Vec::new();
    for _ in 0..5_000 {
        let mut acquire = Box::pin(pool.acquire_timeout(Duration::from_millis(10)));
        assert!(futures::poll!(acquire.as_mut()).is_pending());
        expired.push(acquire);
        // A task that begins thousands at once is stopped by its budget.
        tokio::task::yield_now().await;
    }
    let mut live = Box::pin(pool.acquire());
    assert!(futures::poll!(live.as_mut()).is_pending());
    assert_eq!(pool.stats().waiting, 5_001);
    // Their time is over, and nobody has polled them since.
    advance(Duration::from_millis(20)).await;
    drop(held);
    assert!(futures::poll!(live.as_mut()).is_ready(), "one release");
    assert_eq!(pool.stats().waiting, 0);
    for acquired in join_all(expired).await {
        assert!(acquired.unwrap_err().is_timeout());
    }
    assert_eq!(settled(&pool).await.idle, 1);
}

/// Each waiter dials for itself: a storm while the back-end is down, and another when it is back.
#[tokio::test(start_paused = true)]
async fn a_back_end_down_for_half_a_minute_is_asked_seldom_and_found_again_at_once() {
    let longest = Duration::from_secs(2);
    let gates = Gates {
        factory: Gate::Transient,
        ..Gates::default()
    };
    let options = options(10).connect_backoff(Duration::from_millis(100), longest);
    let (theatre, pool) = pool(gates, options);
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let pool = pool.clone();
        tasks.spawn(async move { drop(pool.acquire().await.unwrap()) });
    }
    sleep(Duration::from_secs(30)).await;
    let attempts = pool.stats().connect_failures;
    // Six steps up to the longest, which is one second at least; ten at first, before any failed.
    assert!(attempts <= 10 + 6 + 30, "{attempts} attempts in 30 s");
    theatre.calm();
    let back = Instant::now();
    tasks.join_all().await;
    assert!(back.elapsed() <= longest, "{:?} to recover", back.elapsed());
    assert!(theatre.made() <= 10, "{} were opened", theatre.made());
}

/// A ping over a dead network never ends; each caller hangs in one, with a connection in hand.
#[tokio::test(start_paused = true)]
async fn a_ping_that_never_ends_costs_its_connection_and_nobody_their_turn() {
    let options = options(4)
        .check_after_idle(Duration::from_millis(500))
        .acquire_timeout(Duration::from_secs(2));
    let (theatre, pool) = pool(Gates::default(), options);
    drop(join_all((0..4).map(|_| pool.acquire())).await);
    theatre.set(Gates {
        check: Gate::Never,
        ..Gates::default()
    });
    sleep(Duration::from_secs(1)).await;
    let callers = (0..100).map(|_| async { pool.acquire().await.map(drop) });
    let failed = join_all(callers)
        .await
        .iter()
        .filter(|got| got.is_err())
        .count();
    assert_eq!(failed, 0, "all are served within their two seconds");
    assert_eq!(theatre.checks.load(SeqCst), 4, "each is pinged once");
    assert_eq!(settled(&pool).await.open, theatre.live());
}

/// The close waits for what nobody will ever return.
#[tokio::test(start_paused = true)]
async fn a_close_with_a_leaked_guard_ends_at_its_deadline_and_names_it() {
    let (theatre, pool) = pool(Gates::default(), options(3));
    std::mem::forget(pool.acquire().await.unwrap());
    let held = pool.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { (pool.acquire().await, pool.acquire().await) }
    });
    until("the third is held and a fourth is waited for", || {
        pool.stats().waiting == 1
    })
    .await;
    let begun = Instant::now();
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close(Duration::from_secs(5)).await }
    });
    let (third, fourth) = waiting.await.unwrap();
    assert!(third.is_ok());
    assert_eq!(fourth.unwrap_err().kind(), AcquireErrorKind::Closed);
    drop((third, held));
    let report = closing.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!((report.still_leased, report.stragglers.len()), (1, 1));
    assert!(report.stragglers[0].metadata.held >= Duration::from_secs(5));
    assert_eq!(
        (pool.stats().open, theatre.live()),
        (1, 1),
        "the leaked one"
    );
}

/// The sum of what is open goes below zero, or more is opened than is allowed after it.
#[tokio::test(start_paused = true)]
async fn a_pool_shrunk_before_anything_is_open_keeps_to_its_new_limit() {
    let gates = Gates {
        factory: Gate::Slow,
        ..Gates::default()
    };
    let (theatre, pool) = pool(gates, options(64));
    for limit in [1, 64, 2, 1] {
        pool.tune(|tuning| tuning.max_connections = limit).unwrap();
        assert_eq!((pool.stats().open, pool.stats().capacity_free), (0, limit));
    }
    let most = Arc::new(AtomicU64::new(0));
    let callers = (0..100).map(|_| async {
        let held = pool.acquire().await.unwrap();
        most.fetch_max(u64::from(theatre.live()), SeqCst);
        drop(held);
    });
    join_all(callers).await;
    assert_eq!((most.load(SeqCst), theatre.made()), (1, 1));
}

/// A connect that panics takes its place in the pool along, and after some the pool is dead.
#[tokio::test(start_paused = true)]
async fn a_thousand_panics_while_connecting_cost_no_place() {
    let gates = Gates {
        factory: Gate::Panic,
        ..Gates::default()
    };
    let moment = Duration::from_millis(1);
    let (theatre, pool) = pool(gates, options(2).connect_backoff(moment, moment));
    for _ in 0..500 {
        let (first, second) = tokio::join!(pool.acquire(), pool.acquire());
        for refused in [first.unwrap_err(), second.unwrap_err()] {
            assert_eq!(refused.kind(), AcquireErrorKind::Connect, "{refused}");
        }
    }
    theatre.calm();
    let both = join_all([pool.acquire(), pool.acquire()]).await;
    assert!(both.iter().all(Result::is_ok));
    assert_eq!((pool.stats().leased, pool.stats().capacity_free), (2, 0));
}

/// What comes back over a dead network is pinged or closed for ever, and keeps its place.
#[tokio::test(start_paused = true)]
async fn a_return_that_never_ends_gives_its_place_back() {
    let never = Gates {
        after_release: HookGate::Async(Gate::Never),
        close: Closing::Awaited(Gate::Never),
        ..Gates::default()
    };
    let limit = Duration::from_secs(3);
    let options = options(2).hook_timeout(limit).close_timeout(limit);
    let (_theatre, pool) = pool(never, options);
    for _ in 0..5 {
        let both = join_all([pool.acquire(), pool.acquire()]).await;
        assert!(both.iter().all(Result::is_ok));
    }
}

/// Connections that all turn out broken as they come back leave nobody to open the next.
#[tokio::test(start_paused = true)]
async fn connections_that_always_break_are_replaced_for_whoever_waits() {
    let (theatre, pool) = pool(Gates::default(), options(5));
    let callers = (0..100).map(|_| async {
        let mut held = pool.acquire().await.unwrap();
        tokio::task::yield_now().await;
        held.mark_broken();
    });
    join_all(callers).await;
    assert_eq!(theatre.made(), 100);
    assert_eq!(settled(&pool).await.open, 0);
}

/// Whoever began to dial goes on dialling a back-end that is full, beside what comes back meanwhile.
#[tokio::test(start_paused = true)]
async fn a_caller_whose_dial_fails_gets_what_comes_back() {
    let (theatre, pool) = pool(Gates::default(), options(2));
    let held = pool.acquire().await.unwrap();
    theatre.set(Gates {
        factory: Gate::Transient,
        ..Gates::default()
    });
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    until("its dial failed", || pool.stats().connect_failures > 0).await;
    drop(held);
    assert!(futures::poll!(waiting.as_mut()).is_ready());
}
