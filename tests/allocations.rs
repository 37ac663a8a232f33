//! Counts allocations: a hit and a wait make none.
//!
//! Promise: counted on the thread that runs the closure, by a counting allocator, so that nothing
//! else in the process is mistaken for ours.
//! Cost: a binary of its own, because an allocator belongs to a whole program.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use allocation_counter::measure;
use plunge::{Plain, Pool, PoolOptions};
use tokio::runtime::{Builder, Runtime};

const CYCLES: usize = 1_000;

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("the machine has a descriptor left")
}

/// A pool with every connection open and idle.
async fn warm_pool(size: u32) -> Pool<Plain<u64>> {
    let options = PoolOptions::new().max_connections(size);
    let pool = options
        .connect_with(|| async { Ok::<_, Infallible>(Plain(0)) })
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..size {
        held.push(pool.acquire().await.unwrap());
    }
    pool
}

/// What the polls of `story` allocate. The runtime's own buffers are warmed by a yield before.
fn allocations<F: Future<Output = ()>>(story: impl Fn(Pool<Plain<u64>>) -> F, size: u32) -> u64 {
    let runtime = runtime();
    let pool = runtime.block_on(warm_pool(size));
    runtime.block_on(async {
        tokio::task::yield_now().await;
        story(pool.clone()).await; // What is built once is built now.
        let mut story = pin!(story(pool.clone()));
        let mut count = 0;
        poll_fn(|context| {
            let mut poll = Poll::Pending;
            count += measure(|| poll = story.as_mut().poll(context)).count_total;
            poll
        })
        .await;
        count
    })
}

#[test]
fn the_counter_sees_an_allocation() {
    let seen = measure(|| drop(std::hint::black_box(Box::new(1_u64))));
    assert_eq!(seen.count_total, 1);
}

#[test]
fn a_hit_allocates_nothing() {
    let seen = allocations(
        |pool| async move {
            for _ in 0..CYCLES {
                drop(pool.acquire().await.unwrap());
            }
        },
        16,
    );
    assert_eq!(seen, 0);
}

#[test]
fn a_try_acquire_allocates_nothing() {
    let seen = allocations(
        |pool| async move {
            for _ in 0..CYCLES {
                drop(pool.try_acquire().unwrap());
            }
        },
        16,
    );
    assert_eq!(seen, 0);
}

#[test]
fn a_refused_try_acquire_allocates_nothing() {
    let seen = allocations(
        |pool| async move {
            let held = pool.try_acquire().unwrap();
            for _ in 0..CYCLES {
                assert!(pool.try_acquire().is_err());
            }
            drop(held);
        },
        1,
    );
    assert_eq!(seen, 0);
}

#[test]
fn a_wait_allocates_nothing() {
    let seen = allocations(
        |pool| async move {
            let mut held = pool.acquire().await.unwrap();
            for _ in 0..CYCLES {
                let mut waiting = pin!(pool.acquire());
                assert!(futures::poll!(&mut waiting).is_pending());
                drop(held);
                held = waiting.await.unwrap();
            }
        },
        1,
    );
    assert_eq!(seen, 0);
}

#[test]
fn a_cancelled_wait_allocates_nothing() {
    let seen = allocations(
        |pool| async move {
            let held = pool.acquire().await.unwrap();
            for _ in 0..CYCLES {
                let mut waiting = pin!(pool.acquire());
                assert!(futures::poll!(&mut waiting).is_pending());
            }
            drop(held);
        },
        1,
    );
    assert_eq!(seen, 0);
}

/// What a pool keeps for each of many idle connections, beside the connections themselves. Each
/// connection lives in its place, so that all of it is allocated with the pool.
#[test]
fn an_idle_connection_costs_at_most_128_bytes_beside_itself() {
    const PLACES: u64 = 10_000;
    let build = || {
        let options = PoolOptions::new().max_connections(PLACES as u32);
        let made = options.connect_with(|| async { Ok::<_, Infallible>(Plain(0_u64)) });
        std::mem::forget(made.unwrap());
    };
    let kept = measure(build).bytes_current.cast_unsigned();
    let each = kept / PLACES - size_of::<u64>() as u64;
    assert!((32..=128).contains(&each), "{each} bytes each");
    // Nothing is kept beside that: all of them open, more than once.
    let runtime = runtime();
    runtime.block_on(async {
        let pool = warm_pool(PLACES as u32).await;
        let grown = measure(|| drop(pool.try_acquire())).bytes_total;
        assert_eq!(grown, 0, "a hit in a full pool");
    });
}
