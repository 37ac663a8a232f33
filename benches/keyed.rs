//! Keys: what a hundred thousand of them cost when a thousand are hot, what a hit costs by key, by
//! handle and in a single pool, what a pool that misses a permit pays beside a thousand others, and
//! what a thousand maintenance tasks cost.
//!
//! Promise: the three kinds of hit run in turns in one process, medians of several rounds; memory is
//! what the system says is resident, of a part that runs alone. Nothing is gated. Cost: half a minute;
//! `table`, `upkeep` or `starving` as argument runs that part alone. `one`, `handle` or `key` with a
//! number runs so many hits on one key, to be counted from outside: the difference of two counts is
//! the hits.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::{Duration, Instant};

use plunge::{AcquireError, KeyedOptions, KeyedPool, Plain, Pool, PoolConnection, PoolOptions};
use tokio::runtime::Builder;

const KEYS: u64 = 100_000;
const HOT: u64 = 1_000;
const LIMIT: u32 = 2_000;
const ROUNDS: usize = 7;
const HITS: u64 = 200_000;
const STARVES: usize = 400;
const WATCHED: Duration = Duration::from_secs(3);

type Acquiring =
    Pin<Box<dyn Future<Output = Result<PoolConnection<Plain<u64>>, AcquireError>> + Send>>;

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        // Cargo adds an argument of its own.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let part = words.next().unwrap_or_default();
        if let Some(hits) = words.next() {
            return count(&part, hits.parse().expect("a number of hits")).await;
        }
        if part != "upkeep" && part != "starving" {
            table().await;
        }
        if part != "table" && part != "starving" {
            upkeep().await;
        }
        if part != "table" && part != "upkeep" {
            starving().await;
        }
    });
}

/// So many hits of one kind, and as little else as may be.
async fn count(kind: &str, hits: u64) {
    let single = single();
    let keyed = keyed(LIMIT);
    let handle = keyed.handle(0);
    for _ in 0..hits {
        match kind {
            "one" => drop(black_box(single.acquire().await)),
            "handle" => drop(black_box(handle.acquire().await)),
            "key" => drop(black_box(keyed.acquire(&0).await)),
            _ => panic!("no kind of hit: {kind}; one, handle or key"),
        }
    }
}

/// A hundred thousand keys, a thousand of them hot.
async fn table() {
    let keyed = keyed(LIMIT);
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
}

fn keyed(limit: u32) -> KeyedPool<u64, Plain<u64>> {
    let per_key = PoolOptions::new().check_after_idle(Duration::MAX);
    KeyedOptions::new()
        .max_connections(limit)
        .key_timeout(Duration::from_secs(2))
        .per_key(per_key)
        .connect_with(|key: &u64| {
            let key = *key;
            async move { Ok::<_, Infallible>(Plain(key)) }
        })
        .expect("valid options")
}

/// A pool that misses a permit while a thousand others have all of them in use, or one idle.
async fn starving() {
    let keyed = keyed(HOT as u32);
    let mut held = Vec::new();
    for key in 0..HOT {
        held.push(keyed.acquire(&key).await.expect("opened"));
    }
    let (mut looking, mut barren, mut evicting) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARVES {
        // Alone, each looks at all pools. Dropped, it takes the pressure away.
        looking.push(polled(&keyed, HOT).await.0);
    }
    let other = HOT + 1;
    let (_, first) = polled(&keyed, other).await;
    for _ in 0..STARVES {
        barren.push(polled(&keyed, HOT).await.0);
    }
    drop(first);
    for round in 0..STARVES {
        // One is idle, so each looks at all pools and evicts that.
        held.swap_remove(round % held.len());
        let (nanos, acquire) = polled(&keyed, HOT + 2 + round as u64).await;
        evicting.push(nanos);
        held.push(acquire.await.expect("room was made"));
    }
    for (name, mut nanos) in [
        ("nothing idle, nobody starves", looking),
        ("nothing idle, somebody starves", barren),
        ("one idle, evicted", evicting),
    ] {
        nanos.sort_unstable();
        println!(
            "first poll of an acquire, {HOT} other keys, {name}: p50 {} ns, max {} ns",
            nanos[STARVES / 2],
            nanos[STARVES - 1]
        );
    }
}

/// An acquire that was polled once, and how long that took.
async fn polled(keyed: &KeyedPool<u64, Plain<u64>>, key: u64) -> (u64, Acquiring) {
    // A task that did much is made to wait by tokio, and would measure that.
    tokio::task::yield_now().await;
    let pool = keyed.clone();
    let mut acquire: Acquiring = Box::pin(async move { pool.acquire(&key).await });
    let begun = Instant::now();
    std::future::poll_fn(|context| {
        let pending = acquire.as_mut().poll(context).is_pending();
        assert!(pending, "nothing of this key is idle");
        std::task::Poll::Ready(())
    })
    .await;
    (begun.elapsed().as_nanos() as u64, acquire)
}

/// The same few hits a second, in a thousand pools and in one: the rest is maintenance.
async fn upkeep() {
    let before = resident();
    let keyed = keyed(LIMIT);
    let handles: Vec<_> = (0..HOT).map(|key| keyed.handle(key)).collect();
    for handle in &handles {
        drop(handle.acquire().await.expect("opened"));
    }
    println!(
        "{HOT} keys with one connection: {} resident kB",
        resident() - before
    );
    let all = handles.iter().collect::<Vec<_>>();
    let one = vec![&handles[0]; HOT as usize];
    for (name, handles) in [("one pool moves", one), ("all move", all)] {
        let (begun, cpu) = (Instant::now(), cpu());
        while begun.elapsed() < WATCHED {
            for handle in &handles {
                drop(handle.acquire().await.expect("idle"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let used = (self::cpu() - cpu) as f64 / begun.elapsed().as_nanos() as f64;
        println!(
            "{HOT} pools, 20,000 hits a second, {name}: {:.2} % of a core",
            used * 100.0
        );
    }
    let (begun, cpu) = (Instant::now(), cpu());
    tokio::time::sleep(WATCHED).await;
    let used = (self::cpu() - cpu) as f64 / begun.elapsed().as_nanos() as f64;
    println!("{HOT} pools, none moves: {:.2} % of a core", used * 100.0);
}

/// Nanoseconds that the threads of this process ran.
fn cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of).sum()
}

fn single() -> Pool<Plain<u64>> {
    PoolOptions::new()
        .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })
        .expect("valid options")
}

async fn hits(keyed: &KeyedPool<u64, Plain<u64>>) {
    let single = single();
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
