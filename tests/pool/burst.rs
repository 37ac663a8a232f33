//! A burst on few connections that are slow to open: what comes back serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use plunge::{Plain, PoolOptions};
use tokio::time::{Instant, sleep};

use crate::support::{settled, until};

/// A burst of fifty requests on five idle connections, where a new one takes 75 holds.
#[tokio::test(start_paused = true)]
async fn a_burst_is_served_by_what_comes_back_and_opens_few() {
    let opened = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opened);
    let connect = move || {
        let slow = count.fetch_add(1, SeqCst) >= 5;
        async move {
            if slow {
                sleep(Duration::from_millis(150)).await;
            }
            Ok::<_, std::convert::Infallible>(Plain(0_u64))
        }
    };
    let options = PoolOptions::new().max_connections(50).min_idle(5);
    let pool = options.connect_with(connect).unwrap();
    pool.wait_ready().await.unwrap();
    until("five are idle", || pool.stats().idle == 5).await;
    let begun = Instant::now();
    let requests = (0..50).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let held = pool.acquire().await.unwrap();
            sleep(Duration::from_millis(2)).await;
            drop(held);
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    assert!(
        begun.elapsed() <= Duration::from_millis(40),
        "{:?}",
        begun.elapsed()
    );
    let stats = settled(&pool).await;
    assert!(stats.opened <= 9, "{stats:?}");
    assert_eq!(stats.acquired, 50);
}
