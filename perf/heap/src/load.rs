//! Load: everything a pool's callers do, over and over, on a pool that lives through it.
//!
//! Promise: hits, waits, cancelled waits and replaced connections in fixed proportions; after `run`
//! every task has ended and every connection is back.
//! Cost: some hundred nanoseconds an operation.

use std::convert::Infallible;
use std::pin::pin;
use std::task::Poll;

use plunge::{Plain, Pool, PoolOptions};
use tokio::runtime::{Builder, Runtime};

/// Tasks at a time, eight for each connection.
const TASKS: u64 = 64;

/// A pool with its runtime.
pub struct Load {
    runtime: Runtime,
    pool: Pool<Plain<[u8; 256]>>,
}

impl Load {
    /// Builds both.
    ///
    /// # Panics
    ///
    /// If the machine has no thread left.
    pub fn start() -> Self {
        let built = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = built.expect("the machine has a thread left");
        let pool = runtime.block_on(async {
            let options = PoolOptions::new().max_connections(8);
            options.connect_with(|| async { Ok::<_, Infallible>(Plain([0; 256])) })
        });
        Self {
            runtime,
            pool: pool.expect("the options are valid"),
        }
    }

    /// Does so many thousand operations and waits until all of them are over.
    pub fn run(&self, thousands: u64) {
        let each = (thousands * 1_000).div_ceil(TASKS);
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| tokio::spawn(work(self.pool.clone(), each)))
                .collect();
            for task in tasks {
                task.await.expect("the load does not panic");
            }
        });
    }
}

async fn work(pool: Pool<Plain<[u8; 256]>>, operations: u64) {
    for operation in 0..operations {
        if operation % 16 == 3 {
            cancel(&pool).await;
            continue;
        }
        let Ok(connection) = pool.acquire().await else {
            continue; // Two seconds in line: the machine stood still.
        };
        match operation % 512 {
            7 => connection.close().await,
            8 => drop(connection.detach()),
            step if step % 2 == 0 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}

/// Begins an acquire and drops it one turn of the scheduler later.
async fn cancel(pool: &Pool<Plain<[u8; 256]>>) {
    let mut waiting = pin!(pool.acquire());
    let mut at_once = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(connection) = waiting.as_mut().poll(context) {
            at_once = Some(connection);
        }
        Poll::Ready(())
    })
    .await;
    tokio::task::yield_now().await;
}
