//! The pool of this crate with a name, and a recorder that listens.
//!
//! Promise: the recorder does what the least of them would: one relaxed addition for each record,
//! and one for many of the same value.
//! Cost: that.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use plunge::{Plain, Pool, PoolConnection, PoolOptions};

use crate::harness::{Build, Subject, opening};

/// A pool with default options and a name.
#[derive(Clone)]
pub struct Metered(Pool<Plain<u64>>);

/// Word for word as the pool without: a future more around each acquire would be measured, too.
impl Subject for Metered {
    const NAME: &'static str = "plunge, metered";
    type Guard<'a> = PoolConnection<Plain<u64>>;

    async fn acquire(&self) -> PoolConnection<Plain<u64>> {
        self.0
            .acquire()
            .await
            .expect("no case exhausts the pool for two seconds")
    }

    async fn cycle(&self, cycles: usize) {
        for _ in 0..cycles {
            let connection = self.0.acquire().await;
            black_box(&connection.expect("no case exhausts the pool for two seconds"));
        }
    }

    fn opened(&self) -> usize {
        self.0.stats().open as usize
    }
}

impl Build for Metered {
    fn build(size: usize) -> Self {
        // It fails where one is installed already, which is this one.
        let _ = metrics::set_global_recorder(Adder);
        let options = PoolOptions::new()
            .max_connections(size as u32)
            .name("metered");
        let pool = options.connect_with(|| async {
            opening().await;
            Ok::<_, Infallible>(Plain(0))
        });
        Self(pool.expect("the options are valid"))
    }
}

struct Adder;

#[derive(Default)]
struct Sum(AtomicU64);

impl Recorder for Adder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::<Sum>::default())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::<Sum>::default())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::<Sum>::default())
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as u64, Relaxed);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as u64, Relaxed);
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Relaxed);
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.0.fetch_add((value * 1e9) as u64, Relaxed);
    }

    /// One addition for all of them. Without this it is one for each hold that no tick saw, 3 ns each,
    /// and millions of them in one reading.
    fn record_many(&self, value: f64, count: usize) {
        self.0
            .fetch_add((value * count as f64 * 1e9) as u64, Relaxed);
    }
}
