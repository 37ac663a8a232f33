//! Ten thousand idle connections: what each costs in memory, and what a sweep over them does to
//! those who acquire meanwhile.
//!
//! Promise: latencies with and without sweeps are taken in turns in one process. Nothing is gated.
//! Cost: some seconds.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use plunge::{Plain, Pool, PoolOptions, PoolableResource};
use tokio::runtime::Builder;

const IDLE: u32 = 10_000;
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
        let plain = fill("plain", || Plain(7_u64)).await;
        sweeps("plain", &plain).await;

        let tested = fill("with a health test", || Tested(AtomicBool::new(false))).await;
        sweeps("with a health test", &tested).await;
    });
}

/// A pool of idle connections that have time-outs and a lifetime, and are checked after a second.
async fn fill<T: PoolableResource>(name: &str, connect: fn() -> T) -> Pool<T> {
    let before = resident();
    let pool = PoolOptions::new()
        .max_connections(IDLE)
        .max_connecting(64)
        .min_idle(IDLE)
        .idle_timeout(Duration::from_secs(3_600))
        .max_lifetime(Duration::from_secs(3_600))
        .connect_with(move || async move { Ok::<_, Infallible>(connect()) })
        .expect("valid options");
    pool.wait_ready().await.expect("filled");
    let bytes = (resident() - before) * 1024 / i64::from(IDLE);
    println!(
        "{IDLE} idle connections, {name}, of {} bytes: {bytes} resident bytes each, {} without",
        size_of::<T>(),
        bytes - size_of::<T>() as i64
    );
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

/// Resident memory of this process in kB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
