//! When one idle connection is found dead, the others are looked at before anybody gets them.

use std::time::Duration;

use plunge::{IdleOrder, PoolOptions};
use tokio::time::sleep;

use crate::support::{BackEnd, fill, until};

const ORDERS: [IdleOrder; 3] = [IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo];

#[tokio::test(start_paused = true)]
async fn a_dead_take_has_its_neighbours_looked_at() {
    for order in ORDERS {
        let back_end = BackEnd::new();
        let options = PoolOptions::new().max_connections(300).idle_order(order);
        let pool = back_end.pool(options);
        fill(&pool, 300).await;
        back_end.restart();
        let served = pool.acquire().await.unwrap();
        assert_eq!(served.number, 301, "what was opened before is dead");
        until("all others are retired", || pool.stats().retired == 300).await;
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.leased), (0, 1), "{stats:?}");
        assert_eq!(stats.found_dead, 300);
    }
}

#[tokio::test(start_paused = true)]
async fn spares_of_a_moving_pool_are_looked_at() {
    let back_end = BackEnd::new();
    let options = PoolOptions::new().max_connections(20).min_idle(10);
    let pool = back_end.pool(options.idle_order(IdleOrder::Lifo));
    fill(&pool, 20).await;
    back_end.restart();
    // Nobody takes any of them: what moves is a connection that was opened since.
    pool.tune(|tuning| tuning.max_connections = 20).unwrap();
    until("they are replaced", || pool.stats().retired == 20).await;
    until("min_idle is kept", || pool.stats().idle == 10).await;
    fill(&pool, 10).await;
    back_end.restart();
    until("a second time, on its own", || pool.stats().retired == 30).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_stands_still_is_left_alone() {
    let back_end = BackEnd::new();
    let pool = back_end.pool(PoolOptions::new().max_connections(4));
    fill(&pool, 4).await;
    sleep(Duration::from_secs(10)).await;
    back_end.restart();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(pool.stats().idle, 4, "nobody looked");
    drop(pool.acquire().await.unwrap());
    until("one take is enough", || pool.stats().retired == 4).await;
}

#[tokio::test(start_paused = true)]
async fn healthy_neighbours_stay() {
    let back_end = BackEnd::new();
    let pool = back_end.pool(PoolOptions::new().max_connections(100));
    fill(&pool, 50).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(pool.acquire().await.unwrap());
    }
    back_end.restart();
    // Half of them are opened after the restart, and come back after the dead ones.
    let mut fresh = Vec::new();
    for _ in 0..50 {
        fresh.push(pool.acquire().await.unwrap());
    }
    drop((held, fresh));
    until("the dead are gone", || pool.stats().retired == 50).await;
    sleep(Duration::from_secs(5)).await;
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.retired), (50, 50), "{stats:?}");
}
