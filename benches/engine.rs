//! Micro-benchmarks of the engine's operations, with criterion's statistics.
//!
//! Promise: each case isolates one operation, beside the floor below it where there is one.
//! Cost: about a minute. For ratios between pools see `ratios`: criterion runs its cases one after
//! the other, not in turns.

// Plays one part of the harness; the peers and the suite play the rest.
#[allow(dead_code, unused_imports)]
mod harness;
mod reference;
mod subjects;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use harness::{Build, LockedPair, QueuePair, SemaphoreQueue};
use plunge::{Plain, Pool, PoolOptions};
use subjects::{OldDesign, Ours};
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("the machine has a descriptor left")
}

/// One task acquires and releases: the length of the hit path.
fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    cycle::<LockedPair>(&mut group);
    cycle::<QueuePair>(&mut group);
    cycle::<Ours>(&mut group);
    cycle::<SemaphoreQueue>(&mut group);
    cycle::<OldDesign>(&mut group);
    group.finish();
}

fn cycle<S: Build>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let runtime = current_thread();
    let subject = runtime.block_on(async { S::build(16) });
    group.bench_function(S::NAME, |bencher| {
        bencher.iter_custom(|cycles| {
            runtime.block_on(async {
                let start = Instant::now();
                subject.cycle(cycles as usize).await;
                start.elapsed()
            })
        });
    });
}

async fn pool_of(size: u32) -> Pool<Plain<u64>> {
    let options = PoolOptions::new().max_connections(size);
    let pool = options.connect_with(|| async { Ok::<_, std::convert::Infallible>(Plain(0)) });
    let pool = pool.expect("the options are valid");
    drop(pool.acquire().await);
    pool
}

/// What a caller can do beside a hit, one at a time.
fn operations(criterion: &mut Criterion) {
    let runtime = current_thread();
    let pool = runtime.block_on(pool_of(16));
    let mut group = criterion.benchmark_group("operation");
    group.bench_function("try_acquire + release", |bencher| {
        bencher.iter(|| black_box(pool.try_acquire()).is_ok());
    });
    group.bench_function("stats", |bencher| bencher.iter(|| black_box(pool.stats())));
    group.bench_function("clone + drop a handle", |bencher| {
        bencher.iter(|| black_box(pool.clone()))
    });

    let one = runtime.block_on(pool_of(1));
    let held = runtime.block_on(one.acquire());
    group.bench_function("try_acquire refused", |bencher| {
        bencher.iter(|| black_box(one.try_acquire()).is_err());
    });
    group.bench_function("enqueue + cancel a waiter", |bencher| {
        bencher.iter_custom(|cycles| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..cycles {
                    let mut waiting = Box::pin(one.acquire());
                    assert!(
                        futures::poll!(&mut waiting).is_pending(),
                        "the only connection is held"
                    );
                }
                start.elapsed()
            })
        });
    });
    drop(held);
    group.bench_function("hand-off to a waiter", |bencher| {
        bencher.iter_custom(|cycles| runtime.block_on(hand_off(&one, cycles)));
    });
    group.finish();
}

/// Releases into a waiter that is already queued, and lets it take what it was handed.
async fn hand_off(pool: &Pool<Plain<u64>>, cycles: u64) -> Duration {
    let mut held = pool.acquire().await.expect("nobody else uses the pool");
    let start = Instant::now();
    for _ in 0..cycles {
        let mut waiting = Box::pin(pool.acquire());
        assert!(
            futures::poll!(&mut waiting).is_pending(),
            "the only connection is held"
        );
        drop(held);
        held = waiting.await.expect("a connection was handed over");
    }
    start.elapsed()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = hit, operations
}
criterion_main!(benches);
