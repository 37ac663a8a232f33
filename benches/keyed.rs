//! Keys: what a hundred thousand of them cost when a thousand are hot, and what a hit costs by key,
//! by handle and in a single pool.
//!
//! Promise: the three kinds of hit run in turns in one process, medians of several rounds; memory is
//! what the system says is resident. Nothing is gated. Cost: a few seconds.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use plunge::{KeyedOptions, KeyedPool, Plain, Pool, PoolOptions};
use tokio::runtime::Builder;

const KEYS: u64 = 100_000;
const HOT: u64 = 1_000;
const LIMIT: u32 = 2_000;
const ROUNDS: usize = 7;
const HITS: u64 = 200_000;

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let keyed = keyed();
        let before = resident();
        for key in 0..KEYS {
            drop(keyed.acquire(&key).await.expect("opened"));
        }
        let stats = keyed.stats();
        assert_eq!(stats.open, LIMIT, "the limit is used, and holds");
        println!(
            "seen {KEYS} keys, limit {LIMIT}: {} resident kB more",
            resident() - before
        );
        println!("  {stats:?}");
        hits(&keyed).await;
        // Two periods later only the keys with connections are left.
        tokio::time::sleep(Duration::from_secs(5)).await;
        println!(
            "collected: {} resident kB more than at the start",
            resident() - before
        );
        println!("  {:?}", keyed.stats());
        assert!(
            keyed.stats().keys <= LIMIT as usize + 1,
            "no key is kept without need"
        );
    });
}

fn keyed() -> KeyedPool<u64, Plain<u64>> {
    let per_key = PoolOptions::new().check_after_idle(Duration::MAX);
    KeyedOptions::new()
        .max_connections(LIMIT)
        .key_timeout(Duration::from_secs(2))
        .per_key(per_key)
        .connect_with(|key: &u64| {
            let key = *key;
            async move { Ok::<_, Infallible>(Plain(key)) }
        })
        .expect("valid options")
}

async fn hits(keyed: &KeyedPool<u64, Plain<u64>>) {
    let single: Pool<Plain<u64>> = PoolOptions::new()
        .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })
        .expect("valid options");
    let handles: Vec<_> = (0..HOT).map(|key| keyed.handle(key)).collect();
    for handle in &handles {
        drop(handle.acquire().await.expect("opened"));
    }
    let mut figures = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for hit in 0..HITS {
            black_box(single.acquire().await.expect("idle"));
            black_box(hit);
        }
        figures[0].push(nanos(begun));
        let begun = Instant::now();
        for hit in 0..HITS {
            black_box(keyed.acquire(&(hit % HOT)).await.expect("idle"));
        }
        figures[1].push(nanos(begun));
        let begun = Instant::now();
        for hit in 0..HITS {
            let handle = &handles[(hit % HOT) as usize];
            black_box(handle.acquire().await.expect("idle"));
        }
        figures[2].push(nanos(begun));
    }
    for (name, mut rounds) in ["one pool", "by key", "by handle"].into_iter().zip(figures) {
        rounds.sort_by(f64::total_cmp);
        println!(
            "hit and release, {name}: {:.1} ns (median of {ROUNDS})",
            rounds[ROUNDS / 2]
        );
    }
}

fn nanos(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / HITS as f64
}

/// Resident memory of this process in kB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
