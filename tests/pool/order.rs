//! Who is served first, and with which connection.

use std::time::Duration;

use plunge::{Fairness, IdleOrder, Plain, Pool, PoolOptions};
use tokio::time::sleep;

use crate::support::{Gates, Theatre, plain, until};

type Options = PoolOptions<Plain<u64>>;

/// The order in which ten callers in line are served by one connection.
#[tokio::test(start_paused = true)]
async fn fifo_serves_in_order_of_arrival() {
    let pool = plain(Options::new().max_connections(1));
    let held = pool.acquire().await.unwrap();
    let served = std::sync::Mutex::new(Vec::new());
    let call = async |number: u32| {
        let connection = pool.acquire().await.unwrap();
        served.lock().unwrap().push(number);
        // Others come while this one holds it.
        sleep(Duration::from_millis(1)).await;
        drop(connection);
    };
    let release = async {
        sleep(Duration::from_millis(1)).await;
        drop(held);
    };
    tokio::join!(
        call(0),
        call(1),
        call(2),
        call(3),
        call(4),
        call(5),
        call(6),
        release
    );
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6]);
}

/// A task that releases and acquires in one go, as long as it is let.
async fn hog(pool: &Pool<Plain<u64>>) {
    loop {
        drop(pool.acquire().await.unwrap());
        let held = pool.acquire().await.unwrap();
        sleep(Duration::from_millis(1)).await;
        drop(held);
    }
}

/// How long a caller waits beside a task that overtakes whenever it may.
async fn wait_beside_a_hog(fairness: Fairness) -> Result<Duration, plunge::AcquireError> {
    let options = Options::new().max_connections(1).fairness(fairness);
    let pool = plain(options.acquire_timeout(Duration::from_secs(1)));
    let held = pool.acquire().await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    drop(held);
    // In this order, so that the hog is polled first in each round.
    tokio::select! {
        biased;
        () = hog(&pool) => unreachable!("it goes on for ever"),
        served = waiting => served.map(|_| begun.elapsed()),
    }
}

#[tokio::test(start_paused = true)]
async fn fifo_lets_nobody_overtake() {
    assert_eq!(
        wait_beside_a_hog(Fairness::Fifo).await.unwrap(),
        Duration::ZERO
    );
}

#[tokio::test(start_paused = true)]
async fn eventual_lets_others_overtake_until_its_time() {
    let patience = Duration::from_millis(100);
    let waited = wait_beside_a_hog(Fairness::Eventual(patience))
        .await
        .unwrap();
    assert!(
        waited >= patience && waited <= patience * 11 / 10,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn barging_has_no_bound_but_the_time_out() {
    assert!(
        wait_beside_a_hog(Fairness::Barging)
            .await
            .unwrap_err()
            .is_timeout()
    );
}

#[tokio::test(start_paused = true)]
async fn every_fairness_serves_all_who_wait() {
    let patience = Duration::from_millis(2);
    for fairness in [
        Fairness::Fifo,
        Fairness::Eventual(patience),
        Fairness::Barging,
    ] {
        let pool = plain(Options::new().max_connections(3).fairness(fairness));
        let callers = (0..50).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let held = pool.acquire().await.unwrap();
                    sleep(Duration::from_millis(number % 3)).await;
                    drop(held);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        let stats = pool.stats();
        assert_eq!(
            (stats.idle, stats.waiting, stats.acquired),
            (3, 0, 1_000),
            "{fairness:?}"
        );
    }
}

/// The numbers of the connections in the order of their handing out.
async fn handed_out(order: IdleOrder) -> Vec<u64> {
    let theatre = Theatre::new(Gates::default());
    let pool = theatre
        .pool(PoolOptions::new().max_connections(3).idle_order(order))
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
    }
    until("all are open", || theatre.live() == 3).await;
    held.sort_by_key(|connection| connection.number);
    held.drain(..).for_each(drop);
    for _ in 0..3 {
        held.push(pool.try_acquire().unwrap());
    }
    held.iter().map(|connection| connection.number).collect()
}

#[tokio::test(start_paused = true)]
async fn each_idle_order_hands_out_what_it_says() {
    assert_eq!(handed_out(IdleOrder::Fifo).await, [1, 2, 3]);
    assert_eq!(handed_out(IdleOrder::Lifo).await, [3, 2, 1]);
    // The thread's own place holds the first that it returned; the others queue.
    assert_eq!(handed_out(IdleOrder::Affine).await, [1, 2, 3]);
}
