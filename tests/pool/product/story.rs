//! What is played in each case, and what has to be true afterwards.
//!
//! Two rounds of three callers for two connections, with time to grow stale between them; then the
//! gates calm down and the pool has to be as good as new; then it is closed and nothing is left.

use std::sync::Arc;
use std::time::Duration;

use plunge::{AcquireError, AcquireErrorKind, Pool, PoolConnection, PoolOptions, TryAcquireError};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::case::{Caller, Case, Release};
use crate::support::{Gate, HookGate, Theatre, Unit, burst, paused, settled, until};

const SIZE: u32 = 2;
/// Shorter than a slow gate.
const STEP: Duration = Duration::from_millis(40);
const STALE: Duration = Duration::from_millis(500);

type Held = Vec<PoolConnection<Unit>>;

fn options() -> PoolOptions<Unit> {
    let short = Duration::from_millis(300);
    PoolOptions::new()
        .max_connections(SIZE)
        .max_connecting(SIZE)
        .acquire_timeout(Duration::from_secs(1))
        .connect_timeout(short)
        .hook_timeout(short)
        .close_timeout(short)
        .check_after_idle(STALE)
        .connect_backoff(Duration::from_millis(10), Duration::from_millis(50))
}

pub fn play(case: &Case) {
    let theatre = Theatre::new(case.gates);
    let mut runtime = paused();
    let built = runtime.block_on(async { theatre.pool(options()) });
    let mut pool = Some(built.unwrap());
    for _ in 0..2 {
        runtime = round(case, &mut pool, runtime);
        runtime.block_on(async { sleep(STALE + STEP).await });
    }
    theatre.calm();
    runtime.block_on(async {
        if let Some(pool) = pool {
            if !pool.is_closed() {
                is_as_good_as_new(&pool, &theatre).await;
            }
            closes_with_nothing_left(&pool).await;
        }
        until("every unit is dropped", || theatre.live() == 0).await;
    });
}

/// Two callers, then a third who waits for them; all release what they got as the case says.
fn round(case: &Case, pool: &mut Option<Pool<Unit>>, runtime: Runtime) -> Runtime {
    let Some(open) = pool.clone() else {
        return runtime;
    };
    let (held, third) = runtime.block_on(two_and_one(case, &open));
    if case.release == Release::AfterShutdown {
        // The third is dropped with its task.
        drop((runtime, third));
        drop(held);
        return paused();
    }
    runtime.block_on(async {
        if case.release == Release::AfterLastHandle {
            // A caller in line has a handle of its own.
            third.abort();
            drop(third.await);
            drop((open, pool.take()));
            return drop(held);
        }
        for connection in held {
            release(case.release, &open, connection).await;
        }
        if let Some(connection) = third.await.unwrap() {
            release(case.release, &open, connection).await;
        }
    });
    runtime
}

async fn two_and_one(
    case: &Case,
    pool: &Pool<Unit>,
) -> (Held, tokio::task::JoinHandle<Option<PoolConnection<Unit>>>) {
    let caller = case.caller;
    let (first, second) = tokio::join!(call(caller, pool), call(caller, pool));
    let well = case.is_well();
    if well && !pool.is_closed() {
        assert!(
            first.is_some() && second.is_some(),
            "nothing was in the way"
        );
    }
    let pool = pool.clone();
    let third = tokio::spawn(async move { call(caller, &pool).await });
    // Then it is in line, or through.
    sleep(Duration::from_millis(1)).await;
    (first.into_iter().chain(second).collect(), third)
}

/// One acquire, as the caller goes about it.
async fn call(caller: Caller, pool: &Pool<Unit>) -> Option<PoolConnection<Unit>> {
    let closed = pool.is_closed();
    let result = match caller {
        Caller::Waits => Some(pool.acquire().await),
        Caller::TimesOut => Some(pool.acquire_timeout(STEP).await),
        Caller::Quits(polls) => poll_and_quit(pool, polls).await,
    };
    if closed {
        assert!(
            result.is_none_or(|result| result.is_err_and(|error| error.is_closed())),
            "a closed pool says so"
        );
        return None;
    }
    result.and_then(Result::ok)
}

async fn poll_and_quit(
    pool: &Pool<Unit>,
    polls: u32,
) -> Option<Result<PoolConnection<Unit>, AcquireError>> {
    let mut acquire = Box::pin(pool.acquire());
    for _ in 0..polls {
        match futures::poll!(acquire.as_mut()) {
            std::task::Poll::Ready(result) => return Some(result),
            std::task::Poll::Pending => sleep(STEP).await,
        }
    }
    None
}

async fn release(manner: Release, pool: &Pool<Unit>, mut connection: PoolConnection<Unit>) {
    let runtime = tokio::runtime::Handle::current();
    match manner {
        Release::SameTask | Release::AfterShutdown | Release::AfterLastHandle => drop(connection),
        Release::OtherThread => on_a_thread(move || {
            let _entered = runtime.enter();
            drop(connection);
        }),
        Release::OutsideRuntime => on_a_thread(move || drop(connection)),
        Release::Unwinding => on_a_thread(move || {
            let _held = connection;
            burst();
        }),
        Release::AfterClose => {
            pool.close(Duration::ZERO).await;
            drop(connection);
        }
        Release::MarkedBroken => {
            connection.mark_broken();
            drop(connection);
        }
        Release::Detached => {
            let unit = connection.detach();
            // A drop that panics is the owner's own from here on.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(unit)));
        }
        Release::Closed => connection.close().await,
    }
}

fn on_a_thread(story: impl FnOnce() + Send + 'static) {
    // Whether it unwinds is the story's matter.
    let _ = std::thread::spawn(story).join();
}

/// All capacity is there, all who ask are served, and no more is given than there is.
async fn is_as_good_as_new(pool: &Pool<Unit>, theatre: &Arc<Theatre>) {
    let stats = settled(pool).await;
    assert_eq!(theatre.live(), stats.idle, "{stats:?}");
    assert_eq!(
        stats.opened - stats.retired,
        u64::from(stats.idle),
        "{stats:?}"
    );
    let held = acquire_all(pool).await;
    let stats = pool.stats();
    assert_eq!(
        (stats.leased, stats.open, stats.capacity_free),
        (SIZE, SIZE, 0)
    );
    let refused = pool.try_acquire().unwrap_err();
    let greets = matches!(theatre.gates().before_acquire, HookGate::Async(_));
    assert_eq!(
        refused,
        if greets {
            TryAcquireError::NeedsAwait
        } else {
            TryAcquireError::Empty
        }
    );
    let waiting = acquire_after(pool, held).await;
    drop(waiting);
    let stats = settled(pool).await;
    assert_eq!((stats.idle, theatre.live()), (SIZE, SIZE), "{stats:?}");
}

async fn acquire_all(pool: &Pool<Unit>) -> Held {
    let mut held = Vec::new();
    for _ in 0..SIZE {
        held.push(pool.acquire().await.expect("the gates are calm"));
    }
    held
}

/// One more waits, and gets what is released.
async fn acquire_after(pool: &Pool<Unit>, held: Held) -> PoolConnection<Unit> {
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    assert_eq!(pool.stats().waiting, 1);
    drop(held);
    waiting.await.expect("two were released")
}

async fn closes_with_nothing_left(pool: &Pool<Unit>) {
    let report = pool.close(Duration::from_secs(10)).await;
    assert!(report.is_clean(), "{report:?}");
    let stats = pool.stats();
    let left = stats.open + stats.idle + stats.leased + stats.connecting;
    assert_eq!(left + stats.recycling + stats.closing + stats.waiting, 0);
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Closed);
}

impl Case {
    /// Whether an acquire has to succeed.
    fn is_well(&self) -> bool {
        let gates = &self.gates;
        let hooks = [gates.after_create, gates.before_acquire];
        matches!(gates.factory, Gate::Ok | Gate::Slow)
            && hooks.iter().all(|hook| hook.gate() == Gate::Ok)
            && gates.health == Gate::Ok
            && gates.check != Gate::Never
            && self.caller == Caller::Waits
    }
}
