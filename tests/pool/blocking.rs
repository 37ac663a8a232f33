//! Acquires of threads that are no part of a runtime.
//!
//! In real time, for a thread that parks has no other; nothing is asserted of how long it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use plunge::{AcquireErrorKind, Plain, Pool, PoolHooks, PoolOptions, Verdict};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Gate, Gates, HookGate, Theatre, plain};

const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn options(runtime: &Runtime, size: u32) -> PoolOptions<Plain<u64>> {
    let options = PoolOptions::new().max_connections(size);
    options
        .acquire_timeout(PATIENCE)
        .runtime(runtime.handle().clone())
}

fn wait_for(claim: &str, condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never came true: {claim}");
        thread::yield_now();
    }
}

#[test]
fn a_thread_opens_hits_and_waits_its_turn() {
    let runtime = runtime();
    let pool = plain(options(&runtime, 1));
    let held = pool.acquire_blocking().unwrap();
    let waiters = [0; 4].map(|_| {
        let pool = pool.clone();
        thread::spawn(move || drop(pool.acquire_blocking().unwrap()))
    });
    wait_for("four are in line", || pool.stats().waiting == 4);
    drop(held);
    for waiter in waiters {
        waiter.join().unwrap();
    }
    drop(pool.acquire_blocking().unwrap());
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.opened, stats.acquired), (1, 1, 6));
}

#[test]
fn tasks_and_threads_stand_in_one_line() {
    let runtime = runtime();
    let pool = plain(options(&runtime, 2));
    let served = Arc::new(AtomicU32::new(0));
    let threads = [0; 4].map(|_| {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        thread::spawn(move || {
            for _ in 0..500 {
                drop(pool.acquire_blocking().unwrap());
                served.fetch_add(1, SeqCst);
            }
        })
    });
    runtime.block_on(async {
        let tasks = [0; 4].map(|_| {
            let (pool, served) = (pool.clone(), Arc::clone(&served));
            tokio::spawn(async move {
                for _ in 0..500 {
                    let held = pool.acquire().await.unwrap();
                    tokio::task::yield_now().await;
                    drop(held);
                    served.fetch_add(1, SeqCst);
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(served.load(SeqCst), 4_000);
    assert_eq!((pool.stats().idle, pool.stats().waiting), (2, 0));
}

#[test]
fn a_wait_ends_in_time_and_a_close_ends_it() {
    let runtime = runtime();
    let pool = plain(options(&runtime, 1));
    let held = pool.acquire_blocking().unwrap();
    let error = pool.acquire_blocking_timeout(SHORT).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(pool.stats().waiting, 0);
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || pool.acquire_blocking().unwrap_err())
    };
    wait_for("one is in line", || pool.stats().waiting == 1);
    runtime.block_on(pool.close(Duration::ZERO));
    assert!(waiter.join().unwrap().is_closed());
    drop(held);
}

#[test]
fn without_a_runtime_it_waits_for_what_comes_back_and_opens_nothing() {
    let pool = plain(PoolOptions::new().max_connections(1));
    let error = pool.acquire_blocking().unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    pool.add(Plain(1)).unwrap();
    let held = pool.acquire_blocking().unwrap();
    assert!(pool.acquire_blocking_timeout(SHORT).is_err());
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || pool.acquire_blocking().unwrap().0)
    };
    wait_for("one is in line", || pool.stats().waiting == 1);
    drop(held);
    assert_eq!(waiter.join().unwrap(), 1);
}

#[test]
fn in_async_code_it_is_refused_and_beside_it_it_is_not() {
    let runtime = runtime();
    let pool = plain(options(&runtime, 1));
    drop(pool.acquire_blocking().unwrap());
    let refused = |pool: &Pool<Plain<u64>>| pool.acquire_blocking().unwrap_err().kind();
    // Also where something is idle: what is wrong is to be seen at once.
    let (on_main, in_task, inside, beside) = runtime.block_on(async {
        let on_main = refused(&pool);
        let other = pool.clone();
        let in_task = tokio::spawn(async move {
            let kind = other.acquire_blocking().unwrap_err().kind();
            // The task's budget is left as it was.
            assert!(tokio::task::coop::has_budget_remaining());
            let inside = tokio::task::block_in_place(|| other.acquire_blocking().is_ok());
            (kind, inside)
        });
        let (in_task, inside) = in_task.await.unwrap();
        let other = pool.clone();
        let beside = tokio::task::spawn_blocking(move || other.acquire_blocking().is_ok());
        (on_main, in_task, inside, beside.await.unwrap())
    });
    let expected = AcquireErrorKind::InAsyncCode;
    assert_eq!((on_main, in_task), (expected, expected));
    assert!(inside && beside);
    let single = Builder::new_current_thread().build().unwrap();
    assert_eq!(single.block_on(async { refused(&pool) }), expected);
    let local = tokio::task::LocalSet::new();
    assert_eq!(local.block_on(&single, async { refused(&pool) }), expected);
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn checks_and_hooks_find_the_runtime_they_need() {
    let runtime = runtime();
    let hooks = PoolHooks::new().before_acquire(|_: &mut Plain<u64>, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(Verdict::Keep)
        })
    });
    let pool = plain(options(&runtime, 1).hooks(hooks));
    for _ in 0..3 {
        drop(pool.acquire_blocking().unwrap());
    }
    assert_eq!(pool.stats().opened, 1);
}

#[test]
fn a_hook_that_never_ends_costs_the_time_there_is() {
    let runtime = runtime();
    let theatre = Theatre::new(Gates {
        before_acquire: HookGate::Async(Gate::Never),
        ..Gates::default()
    });
    let options = PoolOptions::new().runtime(runtime.handle().clone());
    let pool = theatre.pool(options).unwrap();
    let error = pool.acquire_blocking_timeout(SHORT).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    wait_for("nothing is left", || {
        theatre.live() == 0 && pool.stats().open == 0
    });
}

#[test]
fn a_runtime_that_is_gone_is_an_error_and_no_hang() {
    let runtime = runtime();
    let pool = plain(options(&runtime, 2));
    let held = pool.acquire_blocking().unwrap();
    drop(runtime);
    let error = pool.acquire_blocking().unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    drop(held);
    drop(pool.acquire_blocking().unwrap());
}

/// A hook may block on a runtime of its own, which keeps the time of what it polls.
#[test]
fn a_wait_on_a_runtime_within_a_hook_ends_in_time() {
    let (runtime, inner) = (runtime(), self::runtime());
    let other = plain(options(&inner, 1));
    let held = other.acquire_blocking().unwrap();
    let waited = move |_: &mut Plain<u64>, _: &plunge::ResourceMetadata| {
        let waited = inner.block_on(other.acquire_timeout(SHORT)).map(drop);
        match waited.map_err(|error| error.kind()) {
            Err(AcquireErrorKind::TimedOut(_)) => Verdict::Keep,
            _ => Verdict::Discard,
        }
    };
    let hooks = PoolHooks::new().before_acquire_sync(waited);
    let pool = plain(options(&runtime, 1).hooks(hooks));
    let (told, tell) = std::sync::mpsc::channel();
    thread::spawn(move || told.send(pool.acquire_blocking().map(|held| held.metadata().uses)));
    let outcome = tell.recv_timeout(PATIENCE).expect("it ended");
    assert_eq!(outcome.unwrap(), 1);
    drop(held);
}
