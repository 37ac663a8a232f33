//! What is done to all keys of a keyed pool, or to one alone, and threads that wait for a key.

use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use plunge::{AcquireErrorKind, KeyedOptions, KeyedPool, Plain, PoolOptions};
use tokio::time::{sleep, timeout};

type Keyed = KeyedPool<u32, Plain<u32>>;

/// Connections that carry their key.
fn build(limit: u32, per_key: PoolOptions<Plain<u32>>) -> Keyed {
    let options = KeyedOptions::new()
        .max_connections(limit)
        .key_timeout(Duration::from_secs(5))
        .per_key(per_key);
    let made = options.connect_with(|key: &u32| {
        let key = *key;
        async move { Ok::<_, Infallible>(Plain(key)) }
    });
    made.unwrap()
}

const MOMENT: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn suspension_holds_for_all_keys_and_for_those_to_come() {
    let keyed = build(10, PoolOptions::new());
    drop(keyed.acquire(&1).await.unwrap());
    keyed.suspend();
    assert!(keyed.stats().suspended);
    for key in [1, 2] {
        assert!(timeout(MOMENT, keyed.acquire(&key)).await.is_err());
    }
    let resume = async {
        sleep(MOMENT).await;
        keyed.resume();
    };
    let (old, new, ()) = tokio::join!(keyed.acquire(&1), keyed.acquire(&2), resume);
    assert_eq!((**old.unwrap(), **new.unwrap()), (1, 2));
    assert_eq!(
        keyed.key_stats(&1).unwrap().opened,
        1,
        "what was idle is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn connections_are_thrown_out_by_key() {
    let keyed = build(10, PoolOptions::new());
    for key in 0..4 {
        drop(keyed.acquire(&key).await.unwrap());
    }
    let retired = keyed.retain(|key, connection, metadata| {
        assert_eq!((connection.0, metadata.uses), (*key, 1));
        key % 2 == 0
    });
    assert_eq!((retired, keyed.stats().open), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn one_key_is_tuned_alone_and_stays_so_while_its_pool_is_kept() {
    let per_key = PoolOptions::new()
        .max_connections_ceiling(4)
        .max_connections(1)
        .idle_timeout(Duration::from_secs(1));
    let keyed = build(10, per_key);
    let handle = keyed.handle(1);
    let pool = handle.pool().unwrap();
    pool.tune(|tuning| tuning.max_connections = 2).unwrap();
    let held = [1, 1, 2].map(async |key| keyed.acquire(&key).await.unwrap());
    let [first, second, other] = held;
    let held = tokio::join!(first, second, other);
    assert!(timeout(MOMENT, keyed.acquire(&2)).await.is_err(), "as all");
    drop(held);
    sleep(Duration::from_secs(30)).await;
    assert!(keyed.key_pool(&2).is_none(), "collected");
    let kept = keyed.key_pool(&1).unwrap();
    assert_eq!(kept.tuning().max_connections, 2);
    drop((handle, pool, kept));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(keyed.stats().keys, 0);
}

#[tokio::test(start_paused = true)]
async fn key_suspended_alone_is_not_collected_and_so_resumed() {
    let keyed = build(10, PoolOptions::new().idle_timeout(MOMENT));
    drop(keyed.acquire(&1).await.unwrap());
    keyed.key_pool(&1).unwrap().suspend();
    sleep(Duration::from_secs(30)).await;
    assert!(timeout(MOMENT, keyed.acquire(&1)).await.is_err());
    keyed.key_pool(&1).unwrap().resume();
    assert_eq!(**keyed.acquire(&1).await.unwrap(), 1);
}

#[test]
fn thread_waits_for_a_key_in_the_same_line() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keyed = build(1, PoolOptions::new().runtime(runtime.handle().clone()));
    let handle = keyed.handle(2);
    let held = keyed.acquire_blocking(&1).unwrap();
    let short = keyed.acquire_blocking_timeout(&1, MOMENT).unwrap_err();
    assert!(short.is_timeout(), "{short}");
    let short = handle.acquire_blocking_timeout(MOMENT).unwrap_err();
    assert!(short.is_timeout(), "{short}");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| handle.acquire_blocking().map(|two| two.0));
        while keyed.stats().starving_keys == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(
            waiter.join().unwrap().unwrap(),
            2,
            "another key's made room"
        );
    });
    assert_eq!(handle.acquire_blocking().unwrap().0, 2, "a hit");
    assert_eq!(keyed.acquire_blocking(&2).unwrap().0, 2, "a hit by key");
}

#[tokio::test]
async fn async_code_is_not_blocked_for_a_key() {
    let keyed = build(1, PoolOptions::new());
    drop(keyed.acquire(&1).await.unwrap());
    let by_key = keyed.acquire_blocking(&1).unwrap_err();
    let by_handle = keyed.handle(1).acquire_blocking().unwrap_err();
    for refused in [by_key, by_handle] {
        assert_eq!(refused.kind(), AcquireErrorKind::InAsyncCode);
    }
}
