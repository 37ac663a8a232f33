//! Ten thousand idle connections: what each costs in memory, and what a sweep over them does to
//! those who acquire meanwhile.
//!
//! Promise: latencies with and without sweeps are taken in turns in one process. Nothing is gated.
//! Cost: some seconds.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use allocation_counter::measure as counted;
use hdrhistogram::Histogram;
use plunge::{Plain, Pool, PoolOptions, PoolableResource};
use tokio::runtime::Builder;

const IDLE: u32 = 10_000;
/// Dials at once.
const DIALS: u32 = 64;
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_millis(700);

/// Has a health test: one load, as that of a socket.
struct Tested(AtomicBool);

impl PoolableResource for Tested {
    fn is_healthy(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }
}

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        control().await;
        let plain = grown("plain", || Plain(7_u64)).await;
        sweeps("plain", &plain).await;

        let tested = grown("with a health test", || Tested(AtomicBool::new(false))).await;
        sweeps("with a health test", &tested).await;
    });
    // Last: what a pool gives back stays with the process, and the next one would not be seen to grow it.
    weigh("plain", || Plain(7_u64));
    weigh("with a health test", || Tested(AtomicBool::new(false)));
}

/// What the pool asks the allocator for and keeps: every byte that is live when it is filled and was
/// not before. On one thread, which builds it, dials for it and keeps it.
fn weigh<T: PoolableResource>(name: &str, connect: fn() -> T) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    // What the runtime keeps for itself from its first tasks on is not the pool's.
    runtime.block_on(control());
    let mut pool = None;
    let kept = counted(|| pool = Some(runtime.block_on(fill(IDLE, connect))));
    let bytes = kept.bytes_current / i64::from(IDLE);
    println!(
        "{IDLE} idle connections, {name}: {}",
        each::<T>("heap", bytes)
    );
    drop(pool);
}

/// By how much the process grows while a pool is filled.
async fn grown<T: PoolableResource>(name: &str, connect: fn() -> T) -> Pool<T> {
    let before = resident();
    let pool = fill(IDLE, connect).await;
    let bytes = (resident() - before) * 1024 / i64::from(IDLE);
    println!(
        "{IDLE} idle connections, {name}: {}",
        each::<T>("resident", bytes)
    );
    pool
}

fn each<T>(kind: &str, bytes: i64) -> String {
    let net = bytes - size_of::<T>() as i64;
    format!(
        "{bytes} {kind} bytes each, {net} beside the connection of {}",
        size_of::<T>()
    )
}

/// As much as a filled pool makes a runtime do, without one: as many tasks, as many at once, each with
/// something on the heap. And a small pool, come and gone, so that its code is in memory.
async fn control() {
    for _ in 0..IDLE / DIALS {
        let tasks = (0..DIALS).map(|task| tokio::spawn(async move { Box::new(task) }));
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("it does not panic");
        }
    }
    let small = fill(DIALS, || Plain(7_u64)).await;
    assert!(small.close(ROUND).await.is_clean());
}

/// A pool of idle connections that have time-outs and a lifetime, and are checked after a second.
async fn fill<T: PoolableResource>(count: u32, connect: fn() -> T) -> Pool<T> {
    let pool = PoolOptions::new()
        .max_connections(count)
        .max_connecting(DIALS)
        .min_idle(count)
        .idle_timeout(Duration::from_secs(3_600))
        .max_lifetime(Duration::from_secs(3_600))
        .connect_with(move || async move { Ok::<_, Infallible>(connect()) })
        .expect("valid options");
    pool.wait_ready().await.expect("filled");
    pool
}

async fn sweeps<T: PoolableResource>(kind: &str, pool: &Pool<T>) {
    let mut quiet = Histogram::<u64>::new(3).expect("bounds");
    let mut swept = Histogram::<u64>::new(3).expect("bounds");
    for round in 0..ROUNDS * 2 {
        let sweeping = round % 2 == 1;
        let sweeper = sweeping.then(|| {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    // An upkeep pass over all of them.
                    pool.tune(|_| {}).expect("as it was");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        });
        measure(pool, if sweeping { &mut swept } else { &mut quiet }).await;
        if let Some(sweeper) = sweeper {
            sweeper.abort();
        }
    }
    for (name, taken) in [("no sweep", &quiet), ("sweeps", &swept)] {
        let at = |quantile| taken.value_at_quantile(quantile);
        println!(
            "acquire, {kind}, {name}: p50 {} ns, p99 {} ns, p99.9 {} ns, p99.99 {} ns of {}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            taken.len()
        );
    }
}

async fn measure<T: PoolableResource>(pool: &Pool<T>, taken: &mut Histogram<u64>) {
    let end = Instant::now() + ROUND;
    loop {
        let begun = Instant::now();
        let held = pool.acquire().await.expect("idle");
        let wait = begun.elapsed();
        drop(held);
        taken.saturating_record(wait.as_nanos() as u64);
        if begun >= end {
            return;
        }
    }
}

/// Resident memory of this process in kB, summed up page by page: the quick figure of a process lags.
fn resident() -> i64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
