//! A pool in a forked child: it says whose it is, and leaves the parent's connections alone.

use std::convert::Infallible;
use std::time::Duration;

use super::{
    AcquireErrorKind, AddErrorKind, IdleAlarm, IdleWatcher, Pool, PoolOptions, PoolableResource,
    TryAcquireError, WatchKey,
};
use crate::engine::tests::forking::{in_child, in_child_without_locks};
use crate::sync::{Arc, AtomicU32, Mutex, Ordering::SeqCst};

/// Counts what would be said to the peer.
struct Line(Arc<AtomicU32>);

impl PoolableResource for Line {
    fn is_healthy(&self) -> bool {
        self.0.fetch_add(1, SeqCst);
        true
    }

    async fn close(self) {}
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn pool(said: &Arc<AtomicU32>) -> Pool<Line> {
    pool_with(PoolOptions::new().max_connections(4), said)
}

fn pool_with(options: PoolOptions<Line>, said: &Arc<AtomicU32>) -> Pool<Line> {
    let said = Arc::clone(said);
    let connect = move || {
        let line = Line(Arc::clone(&said));
        async { Ok::<_, Infallible>(line) }
    };
    options.connect_with(connect).expect("valid options")
}

#[test]
fn a_forked_child_gets_none_of_its_parents_connections() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let said = Arc::new(AtomicU32::new(0));
    let pool = pool(&said);
    let (idle, held) = runtime.block_on(async {
        (
            pool.acquire().await.expect("opened"),
            pool.acquire().await.expect("opened"),
        )
    });
    drop(idle);
    let before = said.load(SeqCst);
    let child = in_child(|| {
        let refused = pool
            .try_acquire()
            .is_err_and(|e| e == TryAcquireError::Forked);
        let blocked = pool
            .acquire_blocking()
            .is_err_and(|error| error.kind() == AcquireErrorKind::Forked && error.stats().closed);
        let added = pool.add(Line(Arc::default()));
        let shut = added.is_err_and(|error| error.kind() == AddErrorKind::Closed);
        let polled = futures::executor::block_on(pool.acquire());
        let told = polled.is_err_and(|error| error.to_string().contains("belong to the parent"));
        let report = futures::executor::block_on(pool.close(Duration::from_secs(60)));
        drop(held);
        drop(pool.clone());
        drop(pool);
        let untouched = said.load(SeqCst) == before;
        refused && blocked && shut && told && !report.is_clean() && untouched
    });
    assert!(child, "the child was not refused, or touched a connection");
}

/// Like `in_child`, with each lock of the pool held by a thread that the child does not have.
fn in_child_of(pool: &Pool<Line>, claim: impl FnOnce() -> bool) -> bool {
    let shared = pool.body().host();
    let _tuner = shared.tuner.lock();
    let fork = || in_child_without_locks(&[pool.body()], claim);
    shared.maintenance.locked(fork)
}

/// Says which of some claims are false.
fn all_hold(claims: &[(&str, bool)]) -> bool {
    let wrong = claims.iter().filter(|(_, holds)| !holds);
    wrong
        .inspect(|(call, _)| eprintln!("in the child: {call}"))
        .count()
        == 0
}

#[test]
fn calls_on_the_parents_pool_change_nothing_in_a_forked_child_and_wait_for_no_lock() {
    use futures::executor::block_on;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let said = Arc::new(AtomicU32::new(0));
    let pool = pool(&said);
    let acquire = || runtime.block_on(pool.acquire()).expect("opened");
    let (first, second, third) = (acquire(), acquire(), acquire());
    let mut held = vec![first, second];
    drop(third);
    let (before, stats) = (said.load(SeqCst), pool.stats());
    let child = in_child_of(&pool, || {
        let mut shown = false;
        let retired = pool.retain(|_, _| std::mem::replace(&mut shown, true));
        let picked = pool.try_acquire_where(|_| std::mem::replace(&mut shown, true));
        let picked = picked.map(std::mem::forget);
        pool.evict_all();
        pool.suspend();
        pool.resume();
        block_on(pool.close_event());
        let tuned = pool.tune(|tuning| tuning.max_connections = 1);
        let ready = block_on(pool.wait_ready()).map_err(|error| error.kind());
        let now = pool.stats();
        let detached = held.pop().map(super::PoolConnection::detach);
        std::mem::forget(detached);
        let _ = held.pop().map(|held| block_on(held.close()));
        all_hold(&[
            ("retain", retired == 0 && !shown),
            ("try_acquire_where", picked == Err(TryAcquireError::Forked)),
            (
                "tune",
                tuned.is_err_and(|error| error.to_string().contains("the parent")),
            ),
            ("tuning", pool.tuning().max_connections == 4),
            ("wait_ready", ready == Err(AcquireErrorKind::Forked)),
            (
                "stats",
                now.closed && (now.idle, now.leased) == (stats.idle, stats.leased),
            ),
            ("leaks", pool.leaks().is_empty()),
            ("Debug", format!("{pool:?}").contains("closed: true")),
            (
                "detach and close",
                pool.stats().open == stats.open && held.is_empty(),
            ),
            ("a word to a peer", said.load(SeqCst) == before),
        ])
    });
    assert!(child, "a call waited for a lock or touched a connection");
    drop(held);
    assert_eq!((pool.stats().idle, pool.stats().open), (3, 3));
}

/// Keeps the alarm of the last connection that was to be watched.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Option<IdleAlarm>>>);

impl IdleWatcher<Line> for Ear {
    fn cold_after(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn watch(&self, _: &Line, alarm: IdleAlarm) -> Option<WatchKey> {
        *self.0.lock() = Some(alarm);
        None
    }

    fn unwatch(&self, _: WatchKey) {}
}

#[test]
fn an_alarm_of_the_parents_is_none_of_a_forked_childs() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let ear = Ear::default();
    let said = Arc::new(AtomicU32::new(0));
    let pool = pool_with(PoolOptions::new().watch(ear.clone()), &said);
    runtime.block_on(async {
        drop(pool.acquire().await.expect("opened"));
        while ear.0.lock().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let alarm = ear.0.lock().clone().expect("watched");
    assert!(in_child_of(&pool, || !alarm.peer_left() && !alarm.peer_spoke()));
    assert!(alarm.peer_left(), "it is the parent's still");
}

#[test]
fn the_parent_of_a_forked_child_notices_nothing_and_the_child_builds_its_own() {
    let said = Arc::new(AtomicU32::new(0));
    let parents = pool(&said);
    assert!(parents.add(Line(Arc::clone(&said))).is_ok());
    let child = in_child(|| {
        let own = pool(&said);
        own.add(Line(Arc::clone(&said))).is_ok() && own.try_acquire().is_ok()
    });
    assert!(child, "a pool built in a child works there");
    assert!(parents.try_acquire().is_ok());
    assert_eq!(parents.stats().idle, 1);
}

#[test]
fn the_thread_of_a_forked_child_keeps_its_index_and_the_others_are_free() {
    use crate::sync::thread_index;

    // The first pool of a process has its forks seen.
    let _pool = pool(&Arc::default());
    let ready = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let hold = || {
            thread_index();
            ready.fetch_add(1, SeqCst);
            std::thread::park();
        };
        let holders = [scope.spawn(hold), scope.spawn(hold)];
        while ready.load(SeqCst) < 2 {
            std::thread::yield_now();
        }
        let here = thread_index();
        let child = in_child(|| {
            let mut others = (0..2).map(|_| std::thread::spawn(thread_index).join());
            let lowest = usize::from(here == Some(0));
            thread_index() == here && others.all(|other| other.is_ok_and(|it| it == Some(lowest)))
        });
        for holder in &holders {
            holder.thread().unpark();
        }
        assert!(child, "an index is used twice, or never again");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn clocks_of_a_forked_child_are_watched_there() {
    fn watchers() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
        };
        let names = tasks.filter_map(name);
        names.filter(|name| name.trim() == "plunge-clock").count()
    }
    fn attended() -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let pool = pool(&Arc::default());
        runtime.block_on(async {
            let _held = pool.acquire().await.expect("opened");
            for _ in 0..2_000 {
                if watchers() == 1 {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            false
        })
    }
    assert!(attended());
    assert!(in_child(attended), "no thread in the child");
}

#[test]
fn pools_that_are_gone_are_closed_in_no_child() {
    let said = Arc::new(AtomicU32::new(0));
    let kept = [pool(&said), pool(&said), pool(&said)];
    drop((pool(&said), pool(&said)));
    let [first, second, third] = kept;
    drop(second);
    assert!(in_child(|| {
        let forked = |pool: &Pool<Line>| pool.body().is_forked();
        forked(&first) && forked(&third)
    }));
    assert!(!first.is_closed() && !third.is_closed());
}
