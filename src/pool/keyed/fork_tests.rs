//! A keyed pool in a forked child: all of it is the parent's.

use std::cell::Cell;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::thread;
use std::time::Duration;

use futures::executor::block_on;

use super::{KeyedOptions, KeyedPool};
use crate::engine::tests::forking::{Child, in_child, in_child_without_locks};
use crate::pool::{AcquireErrorKind, Plain, PoolConnection, TryAcquireError};
use crate::sync::AtomicU32;
use crate::sync::Ordering::SeqCst;

fn pool() -> KeyedPool<u32, Plain<u32>> {
    let options = KeyedOptions::new().max_connections(4);
    let connect = |_: &u32| async { Ok::<_, Infallible>(Plain(7)) };
    options.connect_with(connect).expect("valid options")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

#[test]
fn no_key_of_a_keyed_pool_is_served_in_a_forked_child() {
    let (runtime, pool) = (runtime(), pool());
    drop(runtime.block_on(pool.acquire(&1)).expect("opened"));
    assert!(in_child(|| {
        let refused = |key| {
            let outcome = block_on(pool.acquire(&key));
            let tried = pool.try_acquire(&key).map(drop);
            outcome.is_err_and(|error| error.kind() == AcquireErrorKind::Forked)
                && tried == Err(TryAcquireError::Forked)
        };
        refused(1) && refused(2)
    }));
    assert!(runtime.block_on(pool.acquire(&1)).is_ok());
}

#[test]
fn calls_on_the_parents_keys_change_nothing_in_a_forked_child_and_wait_for_no_lock() {
    let (runtime, pool) = (runtime(), pool());
    let mut held = Some(runtime.block_on(pool.acquire(&1)).expect("opened"));
    let key = pool.pool(&1).expect("a pool");
    assert!(in_child_without_locks(&[key.body()], || {
        pool.evict_all();
        let limited = pool.set_max_connections(1);
        let whose = limited.is_err_and(|error| error.to_string().contains("the parent"));
        let stats = pool.stats();
        let keys = (stats.closed, stats.open, pool.all_stats().len()) == (true, 0, 0);
        let key = pool.key_stats(&1).is_some_and(|stats| stats.closed);
        let shown = format!("{pool:?}").starts_with("KeyedPool");
        let kept = !pool.remove(&1);
        let closed = block_on(pool.close(Duration::from_secs(60)));
        let _ = held.take().map(PoolConnection::detach);
        whose && keys && key && shown && kept && closed.is_clean()
    }));
    drop(held);
    assert_eq!(pool.stats().open, 1);
}

#[test]
fn key_that_has_nothing_is_refused_in_a_forked_child_too() {
    let (runtime, pool) = (runtime(), pool());
    let [empty, handled, given] = [1, 2, 3];
    for key in [empty, handled, given] {
        drop(runtime.block_on(pool.acquire(&key)).expect("opened"));
    }
    let handle = pool.handle(handled);
    drop(runtime.block_on(handle.acquire()).expect("idle"));
    let own = pool.key_pool(&given).expect("a pool");
    assert_eq!(pool.retain(|_, _, _| false), 3);
    let bodies = [empty, handled, given].map(|key| pool.pool(&key).expect("a pool"));
    let bodies = bodies.each_ref().map(|pool| &**pool.body());
    assert!(in_child_without_locks(&bodies, || {
        let is_whose = |kind| kind == AcquireErrorKind::Forked;
        let by_key = block_on(pool.acquire(&empty)).is_err_and(|error| is_whose(error.kind()));
        let tried = pool.try_acquire(&empty).map(drop) == Err(TryAcquireError::Forked);
        let by_handle = block_on(handle.acquire()).is_err_and(|error| is_whose(error.kind()));
        let alone = block_on(own.acquire()).is_err_and(|error| is_whose(error.kind()));
        let closed = pool.key_stats(&given).is_some_and(|stats| stats.closed);
        pool.evict_all();
        pool.suspend();
        pool.resume();
        let shown = pool.retain(|_, _, _| false);
        drop((handle, own, pool));
        by_key && tried && by_handle && alone && closed && shown == 0
    }));
}

thread_local! {
    /// The only key that this thread hashes without waiting for a fork.
    static OWN: Cell<Option<u32>> = const { Cell::new(None) };
}

/// 1: a thread stands still; 2: the process has forked.
static STAGE: AtomicU32 = AtomicU32::new(0);

fn until(stage: u32) {
    while STAGE.load(SeqCst) < stage {
        thread::yield_now();
    }
}

/// A key whose hash, on a thread that has a key of its own, stands still while the process forks.
#[derive(Clone, PartialEq, Eq)]
struct Slow(u32);

impl Hash for Slow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if OWN.get().is_some_and(|own| own != self.0) {
            OWN.set(None);
            STAGE.store(1, SeqCst);
            until(2);
        }
        self.0.hash(state);
    }
}

#[test]
fn keys_half_moved_to_a_larger_table_are_walked_over_by_nobody_in_a_forked_child() {
    let connect = |_: &Slow| async { Ok::<_, Infallible>(Plain(7)) };
    let options = KeyedOptions::new().max_connections(4);
    let pool: KeyedPool<Slow, Plain<u32>> = options.connect_with(connect).expect("valid options");
    thread::scope(|scope| {
        // Moves the keys that are there when the table grows, and is not in the child.
        scope.spawn(|| {
            OWN.set(Some(0));
            for key in (0..1_000).take_while(|_| OWN.get().is_some()) {
                OWN.set(Some(key));
                let _ = pool.pool(&Slow(key)).expect("a pool");
            }
        });
        until(1);
        let child = Child::begin(|| {
            let pool = pool.clone();
            let none = pool.all_stats().is_empty();
            pool.evict_all();
            pool.suspend();
            pool.resume();
            let shown = pool.retain(|_, _, _| false);
            none && shown == 0 && block_on(pool.close(Duration::ZERO)).is_clean()
        });
        STAGE.store(2, SeqCst);
        assert!(child.said_yes());
    });
}
