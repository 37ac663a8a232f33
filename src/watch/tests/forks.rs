//! The watch of a process and that of its forked child: each hears its own.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::engine::tests::forking::{Child, in_child};
use crate::watch::{IdleWatch, stats};
use crate::{IdleBytes, Plain, Pool, PoolOptions};

/// Idle connections that are watched, and their far ends.
struct Watched {
    pool: Pool<Plain<TcpStream>>,
    theirs: Vec<TcpStream>,
}

impl Watched {
    async fn begin(count: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let watch = IdleWatch::by(IdleBytes::Deadly, |plain: &Plain<TcpStream>| {
            Some(plain.0.as_fd())
        });
        let mut theirs = Vec::new();
        let pool = PoolOptions::new()
            .max_connections(count)
            .check_after_idle(Duration::MAX)
            .watch(watch.cold_after(Duration::from_millis(1)))
            .connect_with(|| async { Err("none to be opened") })
            .unwrap();
        for _ in 0..count {
            let ours = TcpStream::connect(address).unwrap();
            theirs.push(listener.accept().unwrap().0);
            pool.add(Plain(ours)).unwrap();
        }
        // The first use sets maintenance going, whoever added them.
        drop(pool.acquire().await.unwrap());
        until("all are watched", || stats().watched == u64::from(count)).await;
        Self { pool, theirs }
    }

    /// Ends all of them, for whoever else has a far end, too; returns when each was heard.
    async fn hear_them_end(&self) {
        for theirs in &self.theirs {
            theirs.shutdown(Shutdown::Both).unwrap();
        }
        let all = self.theirs.len() as u64;
        until("each is heard", || self.pool.stats().seen_dying == all).await;
    }
}

async fn until(claim: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {claim}; {:?}", stats());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A child that watches, says so, and waits for a word before it hears its own connections end.
fn child_that_watches() -> (UnixStream, Child) {
    let (here, mut there) = UnixStream::pair().unwrap();
    let child = Child::begin(move || {
        runtime().block_on(async {
            let watched = Watched::begin(8).await;
            there.write_all(b"watched").unwrap();
            assert_eq!(there.read(&mut [0; 8]).unwrap(), 4);
            watched.hear_them_end().await;
            stats().threads == 1
        })
    });
    (here, child)
}

#[test]
fn parent_and_forked_child_each_hear_their_own_connections_die() {
    let parents = runtime();
    let watched = parents.block_on(Watched::begin(8));
    let (mut here, child) = child_that_watches();
    here.read_exact(&mut [0; 7]).unwrap();
    parents.block_on(watched.hear_them_end());
    here.write_all(b"over").unwrap();
    assert!(child.said_yes(), "the child did not hear its own");
}

#[test]
fn child_forked_after_the_thread_ended_has_a_watch_of_its_own() {
    let parents = runtime();
    let before = parents.block_on(Watched::begin(1));
    drop(before);
    parents.block_on(until("it ends", || stats().threads == 0));
    let (mut here, child) = child_that_watches();
    here.read_exact(&mut [0; 7]).unwrap();
    parents.block_on(async { Watched::begin(8).await.hear_them_end().await });
    here.write_all(b"over").unwrap();
    assert!(child.said_yes(), "the child did not hear its own");
}

#[test]
fn child_of_a_forked_child_has_a_watch_of_its_own() {
    let hears = || {
        runtime().block_on(async { Watched::begin(2).await.hear_them_end().await });
        true
    };
    let watched = runtime().block_on(Watched::begin(1));
    assert!(in_child(|| hears() && in_child(hears)));
    drop(watched);
}
