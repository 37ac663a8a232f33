//! What kills an idle connection, and what does not.

use std::time::Duration;

use plunge::PoolOptions;
use plunge::watch::stats;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::server::{Server, alone, ask, fill, until, watched};

fn options() -> PoolOptions<TcpStream> {
    PoolOptions::new()
        .max_connections(5)
        .check_after_idle(Duration::MAX)
}

#[tokio::test]
async fn the_end_of_the_stream_evicts_it_and_min_idle_is_refilled() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options().min_idle(5));
    watched(5).await;
    let mut theirs = server.take();
    drop(theirs.pop());
    until("it is replaced", || pool.stats().opened == 6).await;
    watched(5).await;
    let stats = pool.stats();
    assert_eq!((stats.retired, stats.idle), (1, 5), "{stats:?}");
}

#[tokio::test]
async fn a_reset_evicts_it() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options());
    fill(&pool, 2).await;
    watched(2).await;
    for theirs in server.take() {
        theirs.set_zero_linger().unwrap();
    }
    until("both are gone", || pool.stats().retired == 2).await;
    watched(0).await;
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_evict_it() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options());
    fill(&pool, 3).await;
    watched(3).await;
    let mut theirs = server.take();
    theirs[1].write_all(b"surprise").await.unwrap();
    until("one is gone", || pool.stats().retired == 1).await;
    assert_eq!(watched(2).await.watched, 2);
}

#[tokio::test]
async fn an_answer_to_a_holder_is_one_event_at_most() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options());
    fill(&pool, 1).await;
    let before = watched(1).await;
    let mut theirs = server.take().pop().unwrap();
    let mut ours = pool.acquire().await.unwrap();
    assert_eq!(stats().watched, 1, "taken, it keeps its watch");
    for _ in 0..1_000 {
        ask(&mut ours, &mut theirs).await;
    }
    until("the first answer ended its watch", || stats().watched == 0).await;
    for _ in 0..1_000 {
        ask(&mut ours, &mut theirs).await;
    }
    let after = stats();
    assert_eq!(after.events - before.events, 1, "of 2,000 answers");
    assert_eq!(after.stale - before.stale, 1);
    drop(ours);
    watched(1).await;
    let stats = pool.stats();
    assert_eq!((stats.retired, stats.idle), (0, 1), "{stats:?}");
}

#[tokio::test]
async fn the_end_of_a_held_connection_is_heard_and_it_does_not_come_back() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options());
    fill(&pool, 1).await;
    watched(1).await;
    let held = pool.acquire().await.unwrap();
    drop(server.take());
    watched(0).await;
    drop(held);
    until("it is gone", || pool.stats().open == 0).await;
}

#[tokio::test]
async fn what_left_the_pool_is_not_watched() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options());
    fill(&pool, 3).await;
    watched(3).await;
    let detached = pool.acquire().await.unwrap().detach();
    assert_eq!(stats().watched, 2);
    pool.acquire().await.unwrap().close().await;
    assert_eq!(stats().watched, 1);
    pool.close(Duration::from_secs(10)).await;
    assert_eq!(stats().watched, 0);
    drop(detached);
}

/// Numbers of descriptors are used again at once: each new connection has that of a retired one.
#[tokio::test]
async fn numbers_used_again_are_watched_for_their_new_owners() {
    let _alone = alone();
    let server = Server::start().await;
    let pool = server.pool(options().min_idle(5));
    for round in 1..=4 {
        watched(5).await;
        drop(server.take());
        until("all are replaced", || pool.stats().retired == round * 5).await;
        until("all are idle", || pool.stats().idle == 5).await;
    }
    watched(5).await;
    assert_eq!(server.accepted(), 5);
}
