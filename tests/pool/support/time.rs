//! Paused runtimes, and waiting for a condition in their time.

use std::time::Duration;

use plunge::{Pool, PoolStats};
use tokio::runtime::{Builder, Runtime};

/// A runtime of one thread whose clock moves only when everybody waits.
pub fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// Polls a condition in the runtime's time; panics if it does not come true within a minute of it.
pub async fn until(claim: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came true: {claim}");
}

/// The statistics, once nobody holds, waits, connects or closes.
pub async fn settled<T: Send + 'static>(pool: &Pool<T>) -> PoolStats {
    for _ in 0..60_000 {
        let stats = pool.stats();
        if stats.open == stats.idle && stats.waiting == 0 {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never settled: {:?}", pool.stats());
}
