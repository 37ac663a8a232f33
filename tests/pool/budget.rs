//! A task that only ever hits leaves its thread to others now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use plunge::{PoolHooks, PoolOptions, Verdict};

use crate::support::plain;

/// Far beyond tokio's budget of 128 operations, at 16 hits each.
const MOST: u32 = 100_000;

/// How many hits in a row it takes until another task of the same thread is polled.
async fn hits_until_another_runs(options: PoolOptions<plunge::Plain<u64>>) -> u32 {
    let pool = plain(options.max_connections(2));
    drop(pool.acquire().await.unwrap());
    let ran = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&ran);
    let other = tokio::spawn(async move { mark.store(true, SeqCst) });
    let mut hits = 0;
    while !ran.load(SeqCst) && hits < MOST {
        drop(pool.acquire().await.unwrap());
        hits += 1;
    }
    other.await.unwrap();
    hits
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_hits_starves_nobody() {
    let hits = hits_until_another_runs(PoolOptions::new()).await;
    assert!(hits < MOST);
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_looked_at_hits_starves_nobody() {
    let hooks = PoolHooks::new().before_acquire_sync(|_, _| Verdict::Keep);
    let hits = hits_until_another_runs(PoolOptions::new().hooks(hooks)).await;
    assert!(hits < MOST);
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_checked_hits_starves_nobody() {
    let options = PoolOptions::new().check_after_idle(std::time::Duration::ZERO);
    let hits = hits_until_another_runs(options).await;
    assert!(hits < MOST);
}

#[tokio::test(start_paused = true)]
async fn yielding_shows_nothing_to_the_release_hook() {
    let shown = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = Arc::clone(&shown);
    let hooks = PoolHooks::new().after_release_sync(move |_, _| {
        count.fetch_add(1, SeqCst);
        Verdict::Keep
    });
    let pool = plain(PoolOptions::new().max_connections(1).hooks(hooks));
    for _ in 0..10_000 {
        drop(pool.acquire().await.unwrap());
    }
    assert_eq!(shown.load(SeqCst), 10_000);
}
