//! Pools per key under one limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plunge::{
    AcquireErrorKind, Fairness, KeyedOptions, KeyedPool, Plain, PoolHooks, PoolOptions,
    ResourceMetadata, Verdict,
};
use tokio::time::{sleep, timeout};

type Keyed = KeyedPool<u32, Plain<u32>>;

fn options(limit: u32) -> KeyedOptions<u32, Plain<u32>> {
    KeyedOptions::new().max_connections(limit)
}

/// Connections that carry their key.
fn build(options: KeyedOptions<u32, Plain<u32>>) -> Keyed {
    let made = options.connect_with(|key: &u32| {
        let key = *key;
        async move { Ok::<_, Infallible>(Plain(key)) }
    });
    made.unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_key_gets_connections_of_its_own() {
    let keyed = build(options(10));
    for key in 0..5 {
        assert_eq!(**keyed.acquire(&key).await.unwrap(), key);
    }
    for key in 0..5 {
        assert_eq!(**keyed.acquire(&key).await.unwrap(), key);
        assert_eq!(
            keyed.key_stats(&key).unwrap().opened,
            1,
            "the second is a hit"
        );
    }
    assert_eq!(keyed.stats().open, 5);
    assert_eq!(keyed.stats().keys, 5);
}

#[tokio::test(start_paused = true)]
async fn global_limit_holds_over_all_keys_and_the_least_recently_used_makes_room() {
    let keyed = build(options(3));
    for key in 0..3 {
        drop(keyed.acquire(&key).await.unwrap());
        sleep(Duration::from_secs(1)).await;
    }
    drop(keyed.acquire(&3).await.unwrap());
    assert_eq!(keyed.stats().open, 3);
    assert_eq!(keyed.stats().evicted, 1);
    let idle = |key| keyed.key_stats(&key).unwrap().idle;
    assert_eq!([idle(0), idle(1), idle(2), idle(3)], [0, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn release_of_another_key_serves_who_misses_a_permit() {
    let keyed = build(options(1));
    let held = keyed.acquire(&1).await.unwrap();
    let release = async {
        sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    let (served, ()) = tokio::join!(keyed.acquire(&2), release);
    assert_eq!(**served.unwrap(), 2);
    assert_eq!(keyed.key_stats(&1).unwrap().open, 0);
}

#[tokio::test(start_paused = true)]
async fn busy_key_does_not_starve_the_others() {
    let keyed = build(options(1));
    let held = keyed.acquire(&1).await.unwrap();
    let mut line = tokio::task::JoinSet::new();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    for (place, key) in [1, 2, 1, 2, 3].into_iter().enumerate() {
        let (keyed, order) = (keyed.clone(), Arc::clone(&order));
        line.spawn(async move {
            sleep(Duration::from_millis(1 + place as u64)).await;
            let held = keyed.acquire(&key).await.unwrap();
            order.lock().unwrap().push(place);
            sleep(Duration::from_millis(1)).await;
            drop(held);
        });
    }
    sleep(Duration::from_millis(20)).await;
    drop(held);
    line.join_all().await;
    assert_eq!(
        *order.lock().unwrap(),
        [0, 1, 2, 3, 4],
        "in order of arrival, whatever the key"
    );
    assert_eq!(keyed.stats().starving_keys, 0);
}

/// Who was handed a connection that its hook throws away stands in line again, since it came.
#[tokio::test(start_paused = true)]
async fn waiter_that_got_a_dead_one_comes_before_those_who_came_after_it() {
    let thrown_away = |_: &mut Plain<u32>, told: &ResourceMetadata| match told.uses {
        1 => Verdict::Keep,
        _ => Verdict::Discard,
    };
    let hooks = PoolHooks::new().before_acquire_sync(thrown_away);
    let keyed = build(options(1).per_key(PoolOptions::new().hooks(hooks)));
    let held = keyed.acquire(&1).await.unwrap();
    let mut line = tokio::task::JoinSet::new();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    for key in [1, 2, 3] {
        let (keyed, order) = (keyed.clone(), Arc::clone(&order));
        line.spawn(async move {
            sleep(Duration::from_millis(key.into())).await;
            let held = keyed.acquire(&key).await.unwrap();
            order.lock().unwrap().push(key);
            sleep(Duration::from_millis(1)).await;
            drop(held);
        });
    }
    sleep(Duration::from_millis(20)).await;
    drop(held);
    line.join_all().await;
    assert_eq!(*order.lock().unwrap(), [2, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn waiter_that_gives_up_leaves_nothing_behind() {
    let keyed = build(options(1));
    let held = keyed.acquire(&1).await.unwrap();
    let late = keyed
        .acquire_timeout(&2, Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(late.is_timeout(), "{late}");
    assert!(
        timeout(Duration::from_millis(5), keyed.acquire(&3))
            .await
            .is_err()
    );
    assert_eq!(keyed.stats().starving_keys, 0);
    drop(held);
    assert_eq!(
        keyed.key_stats(&1).unwrap().idle,
        1,
        "nobody wanted its permit"
    );
    assert_eq!(keyed.stats().evicted, 0);
}

#[tokio::test(start_paused = true)]
async fn empty_keys_are_collected_and_come_back() {
    let per_key = PoolOptions::new().idle_timeout(Duration::from_secs(1));
    let keyed = build(
        options(2_000)
            .key_timeout(Duration::from_secs(5))
            .per_key(per_key),
    );
    let handle = keyed.handle(7);
    for key in 0..1_000 {
        drop(keyed.acquire(&key).await.unwrap());
    }
    drop(handle.acquire().await.unwrap());
    let held = keyed.acquire(&1).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        keyed.stats().keys,
        2,
        "the one in use, and the one with a handle"
    );
    assert_eq!(keyed.stats().collected, 998);
    assert_eq!(keyed.stats().open, 1);
    drop(held);
    assert_eq!(**handle.acquire().await.unwrap(), 7);
    assert_eq!(**keyed.acquire(&0).await.unwrap(), 0);
    drop(handle);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(keyed.stats().keys, 0, "nobody keeps any");
}

#[tokio::test(start_paused = true)]
async fn pass_at_any_time_spares_a_key_used_within_its_time() {
    let per_key = PoolOptions::new().idle_timeout(Duration::from_millis(10));
    let keyed = build(
        options(5_000)
            .key_timeout(Duration::from_secs(5))
            .per_key(per_key),
    );
    drop(keyed.acquire(&0).await.unwrap());
    // Empty when the task makes its pass, and so again when the table has doubled.
    sleep(Duration::from_millis(5_010)).await;
    for key in 1..1_500 {
        drop(keyed.acquire(&key).await.unwrap());
    }
    assert_eq!(keyed.stats().collected, 0, "no key is as old as that");
    assert!(keyed.key_stats(&0).is_some());
    sleep(Duration::from_secs(15)).await;
    assert_eq!(keyed.stats().keys, 0);
}

#[tokio::test(start_paused = true)]
async fn handle_of_a_removed_key_serves_the_key_it_has_now() {
    let keyed = build(options(3));
    let handle = keyed.handle(1);
    drop(handle.acquire().await.unwrap());
    assert!(keyed.remove(&1));
    drop(handle.acquire().await.unwrap());
    drop(handle.acquire().await.unwrap());
    assert_eq!(
        keyed.key_stats(&1).unwrap().opened,
        1,
        "the second is a hit"
    );
    keyed.close(Duration::from_secs(1)).await;
    let refused = handle.acquire().await.unwrap_err();
    assert_eq!(refused.kind(), AcquireErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn keys_may_have_settings_of_their_own() {
    let keyed = build(
        options(10)
            .override_key(|key, options: PoolOptions<Plain<u32>>| options.max_connections(*key)),
    );
    let _one = keyed.acquire(&1).await.unwrap();
    let refused = keyed.try_acquire(&1);
    assert!(refused.is_err());
    let _two = keyed.acquire(&2).await.unwrap();
    let _third = keyed.acquire(&2).await.unwrap();
    let none = keyed.acquire(&0).await.unwrap_err();
    assert_eq!(none.kind(), AcquireErrorKind::InvalidOptions);
    assert!(none.to_string().contains("max_connections"), "{none}");
}

#[tokio::test(start_paused = true)]
async fn lowered_global_limit_is_reached_and_a_raised_one_serves() {
    let keyed = build(options(4));
    let held = keyed.acquire(&0).await.unwrap();
    for key in 1..4 {
        drop(keyed.acquire(&key).await.unwrap());
    }
    keyed.set_max_connections(1).unwrap();
    assert_eq!(keyed.stats().open, 1, "idle ones go at once");
    let raise = async {
        sleep(Duration::from_millis(10)).await;
        keyed.set_max_connections(2).unwrap();
    };
    let (served, ()) = tokio::join!(keyed.acquire(&9), raise);
    drop((served.unwrap(), held));
    assert!(keyed.set_max_connections(0).is_err());
}

#[tokio::test(start_paused = true)]
async fn close_reports_what_is_held_and_refuses_from_then_on() {
    let keyed = build(options(4));
    let held = keyed.acquire(&1).await.unwrap();
    drop(keyed.acquire(&2).await.unwrap());
    let report = keyed.close(Duration::from_millis(10)).await;
    assert_eq!(report.still_leased, 1);
    assert!(keyed.acquire(&1).await.unwrap_err().is_closed());
    assert!(keyed.acquire(&5).await.unwrap_err().is_closed());
    drop(held);
    assert!(keyed.close(Duration::from_millis(10)).await.is_clean());
    assert_eq!(keyed.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn removed_key_begins_anew() {
    let keyed = build(options(4));
    let held = keyed.acquire(&1).await.unwrap();
    assert!(keyed.remove(&1) && !keyed.remove(&1));
    assert_eq!(**keyed.acquire(&1).await.unwrap(), 1);
    drop(held);
    assert_eq!(keyed.stats().open, 1);
}

/// Callers, more keys than permits, random holds and cancellations on real threads.
#[test]
fn nothing_is_lost_when_many_tasks_fight_for_few_permits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let keyed = build(options(4));
        let served = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..32_u32 {
            let (keyed, served) = (keyed.clone(), Arc::clone(&served));
            tasks.spawn(async move {
                for round in 0..400_u32 {
                    let key = (task * 7 + round * 13) % 11;
                    let limit = Duration::from_secs(if round % 5 == 0 { 0 } else { 60 });
                    let Ok(held) = keyed.acquire_timeout(&key, limit).await else {
                        continue;
                    };
                    assert_eq!(**held, key);
                    assert!(keyed.stats().open <= 4);
                    if round % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ended = timeout(Duration::from_secs(120), tasks.join_all()).await;
        ended.expect("nobody waits for ever");
        assert!(served.load(Ordering::Relaxed) >= 32 * 320);
        assert_eq!(keyed.stats().starving_keys, 0);
        assert!(keyed.close(Duration::from_secs(10)).await.is_clean());
        assert_eq!(keyed.stats().open, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn freed_permit_goes_to_who_waits_and_not_to_a_newcomer() {
    for fairness in [
        Fairness::Fifo,
        Fairness::Eventual(Duration::from_millis(5)),
        Fairness::Barging,
    ] {
        let keyed = build(options(1).per_key(PoolOptions::new().fairness(fairness)));
        let looper = tokio::spawn({
            let keyed = keyed.clone();
            async move {
                loop {
                    let held = keyed.acquire(&1).await.unwrap();
                    sleep(Duration::from_millis(1)).await;
                    drop(held);
                }
            }
        });
        for _ in 0..10 {
            sleep(Duration::from_millis(3)).await;
            let served = keyed.acquire_timeout(&2, Duration::from_millis(50)).await;
            assert_eq!(**served.unwrap(), 2, "{fairness:?}");
        }
        looper.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn key_whose_callers_overtake_one_another_keeps_no_other_key_waiting() {
    for fairness in [
        Fairness::Eventual(Duration::from_secs(1)),
        Fairness::Barging,
    ] {
        let keyed = build(options(1).per_key(PoolOptions::new().fairness(fairness)));
        let held = keyed.acquire(&1).await.unwrap();
        let overtaken = tokio::spawn({
            let keyed = keyed.clone();
            async move { drop(keyed.acquire(&1).await.unwrap()) }
        });
        sleep(Duration::from_millis(1)).await;
        let hog = {
            let keyed = keyed.clone();
            async move {
                let mut held = Some(held);
                loop {
                    sleep(Duration::from_millis(1)).await;
                    // Back at once, before anybody else runs.
                    drop(held.take());
                    held = Some(keyed.acquire(&1).await.unwrap());
                }
            }
        };
        let hog = tokio::spawn(hog);
        let served = keyed.acquire_timeout(&2, Duration::from_millis(50)).await;
        assert_eq!(**served.unwrap(), 2, "{fairness:?}");
        overtaken.await.unwrap();
        hog.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn lowered_global_limit_is_reached_beside_a_line() {
    let keyed = build(options(4));
    let mut loopers = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let keyed = keyed.clone();
        loopers.spawn(async move {
            loop {
                let held = keyed.acquire(&1).await.unwrap();
                sleep(Duration::from_millis(1)).await;
                drop(held);
            }
        });
    }
    sleep(Duration::from_millis(20)).await;
    assert_eq!(keyed.stats().open, 4);
    keyed.set_max_connections(1).unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(keyed.stats().open, 1);
    loopers.shutdown().await;
    assert_eq!(keyed.stats().starving_keys, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_keeps_the_factory_after_evictions_and_a_close() {
    let token = Arc::new(());
    let inside = Arc::clone(&token);
    let made = options(5).connect_with(move |key: &u32| {
        let (key, _inside) = (*key, Arc::clone(&inside));
        async move { Ok::<_, Infallible>(Plain(key)) }
    });
    let keyed = made.unwrap();
    for key in 0..20 {
        drop(keyed.acquire(&key).await.unwrap());
    }
    assert!(keyed.close(Duration::from_secs(1)).await.is_clean());
    drop(keyed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(Arc::strong_count(&token), 1);
}
