//! Metrics: what a pool with a name tells a recorder, and that one without tells nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use plunge::{Plain, Pool, PoolConnection, PoolHooks, PoolOptions, Verdict};
use tokio::time::sleep;

use crate::support::{Gate, Gates, Theatre, plain, until};

/// Sums of what was recorded, by name; of a histogram the number of records, too.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, (f64, u64)>>>);

struct Line {
    book: Book,
    name: String,
    gauge: bool,
}

impl Book {
    fn sum(&self, name: &str) -> f64 {
        let book = self.0.lock().unwrap();
        book.get(name).map_or(f64::NAN, |(sum, _)| *sum)
    }

    fn count(&self, name: &str) -> u64 {
        self.0
            .lock()
            .unwrap()
            .get(name)
            .map_or(0, |(_, count)| *count)
    }

    fn line(&self, key: &Key, gauge: bool) -> Arc<Line> {
        let labels = key.labels().map(|label| label.value().to_owned());
        let name = labels.fold(key.name().to_owned(), |name, label| {
            format!("{name} {label}")
        });
        Arc::new(Line {
            book: self.clone(),
            name,
            gauge,
        })
    }
}

impl Line {
    fn add(&self, value: f64, count: u64) {
        let mut book = self.book.0.lock().unwrap();
        let entry = book.entry(self.name.clone()).or_default();
        entry.0 += value * count as f64;
        entry.1 += count;
        assert!(
            !self.gauge || entry.0 >= 0.0,
            "{} fell below zero",
            self.name
        );
    }
}

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        self.add(value as f64, 1);
    }

    fn absolute(&self, _: u64) {
        unreachable!("pools of one name add up");
    }
}

impl GaugeFn for Line {
    fn increment(&self, value: f64) {
        self.add(value, 1);
    }

    fn decrement(&self, value: f64) {
        self.add(-value, 1);
    }

    fn set(&self, _: f64) {
        unreachable!("pools of one name add up");
    }
}

impl HistogramFn for Line {
    fn record(&self, value: f64) {
        self.add(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count as u64);
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.line(key, false))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.line(key, true))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.line(key, false))
    }
}

const TICK: Duration = Duration::from_millis(100);

fn options(size: u32) -> PoolOptions<Plain<u64>> {
    PoolOptions::new().max_connections(size)
}

/// As often as there is something to be told, it is told within two ticks.
async fn told(pool: &Pool<Plain<u64>>, book: &Book) {
    let acquired = pool.stats().acquired as f64;
    until("it is told", || {
        book.sum("plunge_pool_acquired_total a") == acquired
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn counters_and_gauges_follow_the_statistics_and_gauges_end_at_nothing() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(4).name("a"));
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    for _ in 0..98 {
        drop(pool.acquire().await.unwrap());
    }
    told(&pool, &book).await;
    until("leases are told", || {
        book.sum("plunge_pool_leased a") == 2.0
    })
    .await;
    assert_eq!(book.sum("plunge_pool_acquired_total a"), 100.0);
    assert_eq!(book.sum("plunge_pool_opened_total a"), 3.0);
    assert_eq!(book.sum("plunge_pool_idle a"), 1.0);
    assert_eq!(book.sum("plunge_pool_max_connections a"), 4.0);
    drop(held);
    pool.close(Duration::from_secs(1)).await;
    drop(pool);
    until("the gauges are at nothing", || {
        ["idle", "leased", "max_connections"]
            .iter()
            .all(|gauge| book.sum(&format!("plunge_pool_{gauge} a")) == 0.0)
    })
    .await;
    assert_eq!(book.sum("plunge_pool_acquired_total a"), 100.0);
}

#[tokio::test(start_paused = true)]
async fn pools_of_one_name_add_up() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pools = [plain(options(1).name("a")), plain(options(2).name("a"))];
    for pool in &pools {
        drop(pool.acquire().await.unwrap());
    }
    until("both are told", || {
        book.sum("plunge_pool_acquired_total a") == 2.0
    })
    .await;
    assert_eq!(book.sum("plunge_pool_max_connections a"), 3.0);
}

#[tokio::test(start_paused = true)]
async fn waits_and_dials_are_timed() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let theatre = Theatre::new(Gates {
        factory: Gate::Slow,
        ..Gates::default()
    });
    let pool = theatre
        .pool(PoolOptions::new().max_connections(1).name("a"))
        .unwrap();
    drop(pool.acquire().await.unwrap());
    assert_eq!(book.count("plunge_pool_acquire_wait_seconds a"), 1);
    let slow = Gate::SLOW.as_secs_f64();
    assert!(book.sum("plunge_pool_acquire_wait_seconds a") >= slow);
    assert!(book.sum("plunge_pool_connect_seconds a") >= slow);
    drop(pool.acquire().await.unwrap());
    assert_eq!(
        book.count("plunge_pool_acquire_wait_seconds a"),
        1,
        "a hit is no wait"
    );
}

#[tokio::test(start_paused = true)]
async fn holds_are_as_long_as_the_ticks_say() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(2).name("a"));
    for _ in 0..10 {
        drop(pool.acquire().await.unwrap());
    }
    let (long, longer) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    sleep(TICK * 10).await;
    drop(long);
    sleep(TICK * 90).await;
    drop(longer);
    until("all are told", || {
        book.count("plunge_pool_hold_seconds a") == 12
    })
    .await;
    let sum = book.sum("plunge_pool_hold_seconds a");
    assert!(
        (10.8..=11.2).contains(&sum),
        "1 s and 10 s, within a tick each: {sum}"
    );
}

/// Ten times: taken half way between two ticks, held for a millisecond, brought to an end.
async fn short_holds(pool: &Pool<Plain<u64>>, book: &Book, end: fn(PoolConnection<Plain<u64>>)) {
    for _ in 0..10 {
        // The clock goes on, for somebody moves.
        drop(pool.acquire().await.unwrap());
        sleep(TICK / 2).await;
        let held = pool.acquire().await.unwrap();
        sleep(TICK / 100).await;
        end(held);
    }
    until("all are told", || {
        book.count("plunge_pool_hold_seconds a") == 20
    })
    .await;
    let sum = book.sum("plunge_pool_hold_seconds a");
    assert!(sum <= 0.2, "20 holds of 1 ms or none, not {sum} s");
}

#[tokio::test(start_paused = true)]
async fn short_holds_are_short_where_a_hook_sees_each_return() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let hooks = PoolHooks::new().after_release_sync(|_, _| Verdict::Keep);
    let pool = plain(options(1).name("a").hooks(hooks));
    short_holds(&pool, &book, drop).await;
}

#[tokio::test(start_paused = true)]
async fn short_holds_are_short_where_the_connection_is_taken_out() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(1).name("a"));
    short_holds(&pool, &book, |held| _ = held.detach()).await;
}

#[tokio::test(start_paused = true)]
async fn holds_that_end_otherwise_than_by_a_return_are_as_long_as_they_were() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(4).name("a"));
    let held = || async { pool.acquire().await.unwrap() };
    let (detached, closed) = (held().await, held().await);
    let (mut broken, late) = (held().await, held().await);
    sleep(TICK * 10).await;
    let _ = detached.detach();
    closed.close().await;
    broken.mark_broken();
    drop(broken);
    sleep(TICK * 90).await;
    let report = pool.close(TICK).await;
    assert_eq!(report.still_leased, 1);
    drop(late);
    drop(pool);
    until("all are told", || {
        book.count("plunge_pool_hold_seconds a") == 4
    })
    .await;
    let sum = book.sum("plunge_pool_hold_seconds a");
    assert!(
        (12.6..=13.4).contains(&sum),
        "thrice 1 s and once 10 s, within a tick each: {sum}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_lay_idle_when_a_pool_was_closed_was_not_held() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(2).name("a"));
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(held);
    sleep(TICK * 100).await;
    pool.close(TICK).await;
    drop(pool);
    until("all are told", || {
        book.count("plunge_pool_hold_seconds a") == 2
    })
    .await;
    assert_eq!(book.sum("plunge_pool_hold_seconds a"), 0.0);
}

#[test]
fn what_a_pool_counted_after_its_runtime_ended_is_told_at_its_end() {
    let book = Book::default();
    metrics::with_local_recorder(&book, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let pool = plain(options(1).name("a"));
        runtime.block_on(async { drop(pool.acquire().await.unwrap()) });
        drop(runtime);
        for _ in 0..9 {
            drop(pool.try_acquire().unwrap());
        }
        drop(pool);
    });
    assert_eq!(book.sum("plunge_pool_acquired_total a"), 10.0);
    assert_eq!(book.count("plunge_pool_hold_seconds a"), 10);
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_a_name_tells_nothing() {
    let book = Book::default();
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(1));
    let held = pool.acquire().await.unwrap();
    assert!(pool.acquire_timeout(TICK * 5).await.is_err());
    drop(held);
    assert!(book.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_loses_no_connection() {
    struct Rude;
    impl HistogramFn for Rude {
        fn record(&self, _: f64) {
            crate::support::burst();
        }
    }
    struct RudeBook(Book);
    impl Recorder for RudeBook {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, of: &Metadata<'_>) -> Counter {
            self.0.register_counter(key, of)
        }
        fn register_gauge(&self, key: &Key, of: &Metadata<'_>) -> Gauge {
            self.0.register_gauge(key, of)
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::new(Rude))
        }
    }
    let book = RudeBook(Book::default());
    let _installed = metrics::set_default_local_recorder(&book);
    let pool = plain(options(1).name("a"));
    for _ in 0..3 {
        let held = pool.acquire().await.unwrap();
        sleep(TICK * 3).await;
        drop(held);
        sleep(TICK * 3).await;
    }
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.idle), (1, 1));
}
