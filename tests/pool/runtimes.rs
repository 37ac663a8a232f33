//! Pools and the runtimes that come and go around them.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use plunge::{AcquireErrorKind, Plain, Pool, PoolHooks, PoolOptions, PoolStats, Verdict};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Gate, Gates, HookGate, Theatre, burst, paused, plain, settled, until};

static POOL: LazyLock<Pool<Plain<u64>>> = LazyLock::new(|| {
    let options = PoolOptions::new().max_connections(2);
    options
        .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })
        .unwrap()
});

fn threaded() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

#[test]
fn a_static_pool_serves_one_runtime_after_the_other() {
    for round in 0..4 {
        let runtime = if round % 2 == 0 { paused() } else { threaded() };
        runtime.block_on(async {
            let held = [POOL.acquire().await.unwrap(), POOL.acquire().await.unwrap()];
            let waiting = tokio::spawn(async { POOL.acquire().await.unwrap() });
            while POOL.stats().waiting == 0 {
                tokio::task::yield_now().await;
            }
            drop(held);
            let mut last = waiting.await.unwrap();
            // Of no use any more: the next runtime has to dial.
            last.mark_broken();
        });
        drop(runtime);
        let stats = POOL.stats();
        assert_eq!(
            (stats.open, stats.idle, stats.waiting),
            (1, 1, 0),
            "round {round}"
        );
    }
}

#[test]
fn what_maintenance_had_in_care_goes_with_its_runtime_and_the_place_is_free() {
    let gates = Gates {
        after_release: HookGate::Async(Gate::Never),
        ..Gates::default()
    };
    let theatre = Theatre::new(gates);
    let pool = theatre.pool(PoolOptions::new().max_connections(2)).unwrap();
    let first = paused();
    let kept = first.block_on(async {
        let (first, second) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        drop(first);
        second
    });
    assert_eq!(pool.stats().recycling, 1);
    drop(first);
    // The one in its hook was dropped with the runtime; the other comes back where none runs.
    assert_eq!((pool.stats().recycling, pool.stats().open), (0, 1));
    drop(kept);
    assert_eq!((pool.stats().open, theatre.live()), (0, 0));
    theatre.calm();
    paused().block_on(async {
        drop(pool.acquire().await.unwrap());
        assert_eq!(settled(&pool).await.idle, 1);
    });
}

#[test]
fn a_configured_runtime_that_is_gone_is_replaced_by_the_callers() {
    let configured = threaded();
    let handle = configured.handle().clone();
    let pool = plain(PoolOptions::new().max_connections(1).runtime(handle));
    // No runtime here: the configured one dials, and keeps the time.
    drop(futures::executor::block_on(pool.acquire()).unwrap());
    configured.shutdown_timeout(Duration::from_secs(60));
    let mut held = futures::executor::block_on(pool.acquire()).unwrap();
    held.mark_broken();
    drop(held);
    assert_eq!(pool.stats().open, 0);
    let error = futures::executor::block_on(pool.acquire()).unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    paused().block_on(async { drop(pool.acquire().await.unwrap()) });
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn a_wait_that_no_runtime_would_end_is_refused() {
    let pool = plain(PoolOptions::new().max_connections(1));
    let held = paused().block_on(pool.acquire()).unwrap();
    let error = futures::executor::block_on(pool.acquire()).unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    drop(held);
    drop(futures::executor::block_on(pool.acquire()).unwrap());
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn a_wait_outside_its_configured_runtime_ends_in_time() {
    let configured = threaded();
    let options = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(20))
        .runtime(configured.handle().clone());
    let pool = plain(options);
    let held = futures::executor::block_on(pool.acquire()).unwrap();
    assert!(
        futures::executor::block_on(pool.acquire())
            .unwrap_err()
            .is_timeout()
    );
    drop(held);
}

/// Runs `story` on a thread without a runtime; `until` then the configured runtime lives.
fn beside_a_shutdown<R: Send + 'static>(
    options: PoolOptions<Plain<u64>>,
    until: fn(&PoolStats) -> bool,
    story: impl FnOnce(&Pool<Plain<u64>>) -> R + Send + 'static,
) -> (Pool<Plain<u64>>, std::thread::Result<R>) {
    let configured = threaded();
    let options = options
        .max_connections(1)
        .runtime(configured.handle().clone());
    let pool = plain(options.acquire_timeout(Duration::from_secs(3_600)));
    let teller = pool.clone();
    let told = std::thread::spawn(move || story(&teller));
    while !until(&pool.stats()) {
        std::thread::yield_now();
    }
    configured.shutdown_timeout(Duration::from_secs(60));
    let told = told.join();
    (pool, told)
}

#[test]
fn a_wait_whose_time_nobody_keeps_any_more_ends_with_an_error() {
    let (pool, error) = beside_a_shutdown(
        PoolOptions::new(),
        |stats| stats.waiting == 1 && stats.leased == 1,
        |pool| {
            let _held = futures::executor::block_on(pool.acquire()).unwrap();
            futures::executor::block_on(pool.acquire())
                .unwrap_err()
                .kind()
        },
    );
    assert_eq!(error.expect("no panic"), AcquireErrorKind::NoRuntime);
    assert_eq!(pool.stats().idle, 1);
}

#[test]
fn a_pause_whose_time_nobody_keeps_any_more_ends() {
    let hooks =
        PoolHooks::new().before_acquire_sync(|_: &mut Plain<u64>, told| match told.generation {
            0 => Verdict::Keep,
            _ => Verdict::Discard,
        });
    let hour = Duration::from_secs(3_600);
    let options = PoolOptions::new().hooks(hooks).connect_backoff(hour, hour);
    let (pool, error) = beside_a_shutdown(
        options,
        |stats| stats.retired == 2,
        |pool| {
            drop(futures::executor::block_on(pool.acquire()).unwrap());
            pool.evict_all();
            futures::executor::block_on(pool.acquire())
                .unwrap_err()
                .kind()
        },
    );
    assert_eq!(error.expect("no panic"), AcquireErrorKind::NoRuntime);
    assert_eq!(pool.stats().open, 0);
}

/// Notes that it was called; panics then, if it is one that does.
struct Bell {
    panics: bool,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, SeqCst);
        if self.panics {
            burst();
        }
    }
}

/// Waits for a pool whose runtime nobody drives until somebody has it look for itself.
fn wait_beside_a_clock_that_stands(panics: bool) {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let hour = Duration::from_secs(3_600);
    let pool = plain(PoolOptions::new().max_connections(1).acquire_timeout(hour));
    let _held = runtime.block_on(pool.acquire()).unwrap();
    let bell = Arc::new(Bell {
        panics,
        rung: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&bell));
    let mut acquire = std::pin::pin!(pool.acquire());
    let polled = acquire.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let end = Instant::now() + Duration::from_secs(30);
    while !bell.rung.load(SeqCst) {
        assert!(Instant::now() < end, "nobody looks at the clock");
        std::thread::yield_now();
    }
}

#[test]
fn a_waker_that_panics_stops_the_clock_of_no_other_pool() {
    wait_beside_a_clock_that_stands(true);
    wait_beside_a_clock_that_stands(false);
}

#[test]
fn what_a_runtime_that_stands_left_undone_is_done_by_the_next() {
    let pool = plain(PoolOptions::new().max_connections(3));
    let first = paused();
    first.block_on(async {
        drop([
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
            pool.acquire().await.unwrap(),
        ]);
        // Nothing is left to do: maintenance sleeps until it is asked.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    });
    // Not driven from here on, and not gone.
    let _stands = first;
    paused().block_on(async {
        pool.tune(|tuning| tuning.max_connections = 2).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        pool.tune(|tuning| tuning.max_waiters = 9).unwrap();
        until("one is closed", || pool.stats().idle == 2).await;
    });
}

#[test]
fn what_is_retired_after_a_miss_without_a_runtime_is_dropped_in_place() {
    let theatre = Theatre::new(Gates::default());
    let pool = theatre.pool(PoolOptions::new().max_connections(2)).unwrap();
    let runtime = paused();
    let mut held = runtime.block_on(pool.acquire()).unwrap();
    drop(runtime);
    let error = futures::executor::block_on(pool.acquire()).unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::NoRuntime);
    held.mark_broken();
    drop(held);
    assert_eq!((pool.stats().open, theatre.live()), (0, 0));
}
