//! A server that restarts under a pool of idle connections.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use plunge::watch::IdleWatch;
use plunge::{IdleBytes, Plain, Pool, PoolOptions};
use tokio::net::TcpStream;

use crate::server::{Server, alone, fill, until, watched};

/// Whether the peer of a connection is gone, by asking the kernel.
fn is_dead(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let peeked = rustix::net::recv(stream, &mut byte[..], rustix::net::RecvFlags::PEEK);
    !matches!(peeked, Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock)
}

/// Acquires made after the end was heard; none may get a connection of before.
async fn restart(idle: u32, acquires: u32) {
    let server = Server::start().await;
    let options = PoolOptions::new().max_connections(idle).min_idle(idle);
    let pool = server.pool(options.acquire_timeout(Duration::from_secs(30)));
    fill(&pool, idle as usize).await;
    watched(u64::from(idle)).await;
    until("all are accepted", || server.accepted() == idle as usize).await;
    // All connections end; the server goes on listening, as one that is back already.
    drop(server.take());
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut dead = 0;
    for _ in 0..acquires {
        let held = pool.acquire().await.unwrap();
        dead += u32::from(is_dead(&held));
    }
    assert_eq!(dead, 0, "of {acquires} leases");
    until("all were replaced", || {
        pool.stats().retired == u64::from(idle)
    })
    .await;
    until("min_idle is kept", || pool.stats().idle == idle).await;
}

#[tokio::test]
async fn nobody_gets_a_connection_of_before_the_restart() {
    let _alone = alone();
    restart(100, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "load: 2,000 descriptors and 100,000 acquires"]
async fn nobody_of_100_000_gets_one_of_1_000_dead_connections() {
    let _alone = alone();
    restart(1_000, 100_000).await;
}

/// Connections whose type has no health test: nothing but a watch tells that they died.
async fn untested(watched: bool) -> (Pool<Plain<TcpStream>>, Server) {
    let server = Server::start().await;
    let mut options = PoolOptions::new()
        .max_connections(IDLE)
        .check_after_idle(Duration::MAX);
    if watched {
        let watch = IdleWatch::by(IdleBytes::Deadly, |plain: &Plain<TcpStream>| {
            Some(plain.0.as_fd())
        });
        options = options.watch(watch.cold_after(Duration::from_millis(1)));
    }
    let address = server.address;
    let connect =
        move || async move { Ok::<_, io::Error>(Plain(TcpStream::connect(address).await?)) };
    let pool = options.connect_with(connect).unwrap();
    fill(&pool, IDLE as usize).await;
    until("all are accepted", || server.accepted() == IDLE as usize).await;
    (pool, server)
}

const IDLE: u32 = 50;

#[tokio::test]
async fn without_a_health_test_the_watch_alone_keeps_dead_ones_from_callers() {
    let _alone = alone();
    let (pool, server) = untested(true).await;
    watched(u64::from(IDLE)).await;
    drop(server.take());
    until("all were heard", || {
        pool.stats().seen_dying == u64::from(IDLE)
    })
    .await;
    for _ in 0..1_000 {
        assert!(!is_dead(&pool.acquire().await.unwrap().0));
    }
}

#[tokio::test]
async fn without_a_health_test_and_a_watch_callers_get_dead_ones() {
    let _alone = alone();
    let (pool, server) = untested(false).await;
    drop(server.take());
    let held = pool.acquire().await.unwrap();
    until("the kernel knows", || is_dead(&held.0)).await;
}
