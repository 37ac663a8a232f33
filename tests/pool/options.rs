//! Options that contradict each other, or could never work, are refused by name.

use std::time::Duration;

use plunge::{Fairness, Plain, PoolOptions, Profile};

use crate::support::{plain, try_plain};

type Options = PoolOptions<Plain<u64>>;

#[test]
fn a_bad_option_is_refused_by_its_name() {
    const ZERO: Duration = Duration::ZERO;
    let second = Duration::from_secs(1);
    let cases: [(&str, Options); 17] = [
        ("max_connections", Options::new().max_connections(0)),
        ("max_connections", Options::new().max_connections(u32::MAX)),
        (
            "max_connections_ceiling",
            Options::new().max_connections_ceiling(9),
        ),
        (
            "max_connections_ceiling",
            Options::new().max_connections_ceiling(u32::MAX),
        ),
        ("min_idle", Options::new().min_idle(11)),
        ("max_connecting", Options::new().max_connecting(0)),
        ("max_waiters", Options::new().max_waiters(0)),
        ("acquire_timeout", Options::new().acquire_timeout(ZERO)),
        ("connect_timeout", Options::new().connect_timeout(ZERO)),
        ("hook_timeout", Options::new().hook_timeout(ZERO)),
        ("close_timeout", Options::new().close_timeout(ZERO)),
        ("idle_timeout", Options::new().idle_timeout(ZERO)),
        ("max_lifetime", Options::new().max_lifetime(ZERO)),
        (
            "connect_backoff",
            Options::new().connect_backoff(ZERO, second),
        ),
        (
            "connect_backoff",
            Options::new().connect_backoff(second, second / 2),
        ),
        (
            "fairness",
            Options::new().fairness(Fairness::Eventual(ZERO)),
        ),
        (
            "fairness",
            Options::new().fairness(Fairness::Eventual(Duration::from_nanos(0))),
        ),
    ];
    for (field, options) in cases {
        let told = format!("{options:?}");
        let error = try_plain(options).expect_err(&told);
        assert_eq!(error.field(), field, "{told}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_bad_change_is_refused_by_its_name_and_changes_nothing() {
    let pool = plain(Options::new().max_connections(2));
    let error = pool.tune(|tuning| tuning.max_waiters = 0).unwrap_err();
    assert_eq!(error.field(), "max_waiters");
    let error = pool.tune(|tuning| tuning.max_connections = 3).unwrap_err();
    assert_eq!(error.field(), "max_connections");
    assert_eq!(pool.tuning().max_waiters, u32::MAX);
    assert_eq!(pool.stats().max_connections, 2);
}

#[tokio::test(start_paused = true)]
async fn the_longest_times_are_no_overflow() {
    let options = Options::new()
        .max_connections(1)
        .acquire_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .hook_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX)
        .connect_backoff(Duration::MAX, Duration::MAX)
        .fairness(Fairness::Eventual(Duration::MAX))
        .check_after_idle(Duration::MAX);
    let pool = plain(options);
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire_timeout(Duration::MAX));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    drop(held);
    drop(waiting.await.unwrap());
    assert!(pool.close(Duration::MAX).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn each_profile_makes_a_pool_that_fills_itself_and_serves_as_many_as_it_says() {
    let cases = [
        (Profile::LowLatency, 32, 2),
        (Profile::Throughput, 64, 0),
        (Profile::Subprocess, 8, 1),
        (Profile::Constrained, 4, 0),
    ];
    for (profile, max_connections, min_idle) in cases {
        let pool = plain(Options::profile(profile));
        pool.wait_ready().await.unwrap();
        assert_eq!(pool.stats().idle, min_idle, "{profile:?}");
        let mut held = Vec::new();
        for _ in 0..max_connections {
            held.push(pool.acquire().await.unwrap());
        }
        let late = pool.acquire().await.unwrap_err();
        assert!(late.is_timeout(), "{profile:?}: {late}");
    }
}

#[test]
fn a_profile_is_a_beginning() {
    let pool = plain(Options::profile(Profile::Subprocess).max_connections(3));
    let tuning = pool.tuning();
    assert_eq!(pool.name(), None);
    assert_eq!((tuning.max_connections, tuning.max_connecting), (3, 2));
    assert_eq!(tuning.check_after_idle, Duration::MAX);
}

#[test]
fn a_pool_is_built_without_a_runtime() {
    let pool = plain(Options::new().min_idle(1));
    assert_eq!(pool.stats().open, 0);
}
