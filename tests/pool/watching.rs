//! What the pool tells a watcher of idle connections, and what it makes of an alarm.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::{IdleAlarm, IdleWatcher, Pool, PoolHooks, PoolOptions, Verdict, WatchKey};
use tokio::time::sleep;

use crate::support::{BackEnd, Fragile, fill, until};

/// After this long everything idle is cold and watched.
const LONG: Duration = Duration::from_secs(5);

/// A watcher that watches nothing, and keeps its alarms for the test.
#[derive(Clone)]
struct Recorder {
    alarms: Arc<Mutex<Vec<(u64, IdleAlarm)>>>,
    log: Arc<Mutex<Vec<String>>>,
    keys: Arc<AtomicU64>,
    deaf: bool,
}

impl Recorder {
    fn new(back_end: &BackEnd) -> Self {
        Self {
            alarms: Arc::default(),
            log: Arc::clone(&back_end.log),
            keys: Arc::default(),
            deaf: false,
        }
    }

    /// The latest alarm of the connection with this number.
    fn alarm(&self, number: u64) -> IdleAlarm {
        let alarms = self.alarms.lock().unwrap();
        let found = alarms.iter().rev().find(|(of, _)| *of == number);
        found.expect("watched").1.clone()
    }

    fn watched(&self) -> usize {
        self.alarms.lock().unwrap().len()
    }

    fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl IdleWatcher<Fragile> for Recorder {
    fn watch(&self, connection: &Fragile, alarm: IdleAlarm) -> Option<WatchKey> {
        self.alarms.lock().unwrap().push((connection.number, alarm));
        let key = NonZero::new(self.keys.fetch_add(1, SeqCst) + 1).unwrap();
        let told = format!("watch {} as {key}", connection.number);
        self.log.lock().unwrap().push(told);
        (!self.deaf).then_some(WatchKey(key))
    }

    fn unwatch(&self, key: WatchKey) {
        self.log.lock().unwrap().push(format!("unwatch {}", key.0));
    }
}

/// A pool of `count` idle connections that are watched.
async fn watched(
    count: usize,
    options: impl FnOnce(PoolOptions<Fragile>) -> PoolOptions<Fragile>,
) -> (Pool<Fragile>, Recorder, BackEnd) {
    let back_end = BackEnd::new();
    let recorder = Recorder::new(&back_end);
    let limit = u32::try_from(count).unwrap();
    let basic = PoolOptions::new()
        .max_connections(limit)
        .watch(recorder.clone());
    let pool = back_end.pool(options(basic.check_after_idle(Duration::MAX)));
    fill(&pool, count).await;
    until("all are watched", || recorder.watched() == count).await;
    recorder.take_log();
    (pool, recorder, back_end)
}

#[tokio::test(start_paused = true)]
async fn what_is_cold_is_watched_once() {
    let (pool, recorder, _back_end) = watched(70, |options| options).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(recorder.watched(), 70);
    assert_eq!(pool.stats().idle, 70);
}

#[tokio::test(start_paused = true)]
async fn what_is_used_is_not_watched() {
    let back_end = BackEnd::new();
    let recorder = Recorder::new(&back_end);
    let pool = back_end.pool(
        PoolOptions::new()
            .max_connections(1)
            .watch(recorder.clone()),
    );
    for _ in 0..100 {
        drop(pool.acquire().await.unwrap());
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(recorder.watched(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_long_is_watched_after_it_came_back() {
    let back_end = BackEnd::new();
    let recorder = Recorder::new(&back_end);
    let pool = back_end.pool(
        PoolOptions::new()
            .max_connections(1)
            .watch(recorder.clone()),
    );
    let held = pool.acquire().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(recorder.watched(), 0);
    drop(held);
    until("it is", || recorder.watched() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_alarm_retires_the_connection_and_min_idle_is_refilled() {
    let (pool, recorder, _back_end) = watched(10, |options| options.min_idle(10)).await;
    assert!(recorder.alarm(3).peer_left());
    assert!(!recorder.alarm(3).peer_left(), "known by now");
    assert!(recorder.alarm(7).peer_spoke());
    until("both are replaced", || pool.stats().opened == 12).await;
    let stats = pool.stats();
    assert_eq!((stats.retired, stats.seen_dying, stats.idle), (2, 2, 10));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_connection_whose_alarm_was_raised() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    recorder.alarm(1).peer_left();
    // At once: maintenance had no time for it.
    assert_eq!(pool.acquire().await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_has_the_others_looked_at() {
    let (pool, recorder, back_end) = watched(100, |options| options).await;
    back_end.restart();
    recorder.alarm(50).peer_left();
    until("all are retired", || pool.stats().retired == 100).await;
    assert_eq!(pool.stats().seen_dying, 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_the_business_of_whoever_took_it_and_the_end_is_not() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    let held = pool.acquire().await.unwrap();
    assert!(recorder.alarm(1).is_off());
    assert!(!recorder.alarm(1).peer_spoke());
    drop(held);
    assert!(recorder.alarm(1).is_off(), "what came meanwhile is unknown");
    let held = pool.acquire().await.unwrap();
    assert_eq!(held.number, 1);
    assert!(recorder.alarm(1).peer_left());
    drop(held);
    assert_eq!(pool.acquire().await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_alarm_dooms_nobody_else() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    let late = recorder.alarm(1);
    pool.acquire().await.unwrap().mark_broken();
    drop(pool.acquire().await.unwrap());
    assert!(late.is_off());
    assert!(!late.peer_left() && !late.peer_spoke());
    assert_eq!(pool.acquire().await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_outlives_its_pool() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    let late = recorder.alarm(1);
    drop(pool);
    assert!(late.is_off());
    assert!(!late.peer_left() && !late.peer_spoke());
}

#[tokio::test(start_paused = true)]
async fn what_was_used_is_watched_anew_when_it_is_cold_again() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    drop(pool.acquire().await.unwrap());
    assert!(
        recorder.take_log().is_empty(),
        "taken, it keeps its registration"
    );
    until("it is", || recorder.watched() == 2).await;
    assert_eq!(recorder.take_log(), ["watch 1 as 2", "unwatch 1"]);
    assert!(!recorder.alarm(1).is_off());
    drop(pool);
}

#[tokio::test(start_paused = true)]
async fn whatever_way_a_connection_leaves_it_is_unwatched_first() {
    let gone = ["unwatch 1", "drop 1"];
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    pool.acquire().await.unwrap().mark_broken();
    until("retired", || pool.stats().open == 0).await;
    assert_eq!(recorder.take_log(), gone);

    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    drop(pool.acquire().await.unwrap().detach());
    assert_eq!(recorder.take_log(), gone);

    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    pool.acquire().await.unwrap().close().await;
    assert_eq!(recorder.take_log(), gone);

    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    pool.close(LONG).await;
    assert_eq!(recorder.take_log(), gone);

    let (pool, recorder, _back_end) =
        watched(1, |options| options.idle_timeout(Duration::from_secs(2))).await;
    until("timed out", || pool.stats().open == 0).await;
    assert_eq!(recorder.take_log(), gone);
}

#[tokio::test(start_paused = true)]
async fn a_check_is_made_unwatched() {
    let (pool, recorder, _back_end) = watched(1, |options| options).await;
    pool.tune(|tuning| tuning.check_after_idle = Duration::from_secs(1))
        .unwrap();
    sleep(LONG).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(recorder.take_log(), ["unwatch 1", "check 1"]);
    until("watched again", || recorder.watched() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_sees_it_unwatched() {
    let (pool, recorder, _back_end) = watched(1, |options| {
        options.hooks(PoolHooks::new().before_acquire_sync(|_, _| Verdict::Keep))
    })
    .await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(recorder.take_log(), ["unwatch 1"]);
    until("watched again", || recorder.watched() == 2).await;
    recorder.take_log();
    drop(pool.try_acquire().unwrap());
    assert_eq!(recorder.take_log(), ["unwatch 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_cannot_is_not_asked_again_and_again() {
    let back_end = BackEnd::new();
    let recorder = Recorder {
        deaf: true,
        ..Recorder::new(&back_end)
    };
    let pool = back_end.pool(
        PoolOptions::new()
            .max_connections(5)
            .watch(recorder.clone()),
    );
    fill(&pool, 5).await;
    until("all were tried", || recorder.watched() == 5).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(recorder.watched(), 5);
    drop(pool);
    assert!(
        !recorder
            .take_log()
            .iter()
            .any(|told| told.starts_with("un"))
    );
}

#[tokio::test(start_paused = true)]
async fn connection_added_to_a_pool_that_sleeps_is_watched_as_the_others_are() {
    let (pool, recorder, back_end) = watched(2, |options| options.max_connections(3)).await;
    sleep(LONG).await;
    let other = back_end.pool(PoolOptions::new());
    let brought = other.acquire().await.unwrap().detach();
    assert!(pool.add(brought).is_ok());
    until("it is watched", || recorder.watched() == 3).await;
}
