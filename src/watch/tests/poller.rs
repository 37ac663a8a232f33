//! What happens when the thread ends before its time.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use super::*;
use crate::watch::{IdleWatch, stats};
use crate::{Plain, Pool, PoolOptions};

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

async fn until(claim: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {claim}; {:?}", stats());
}

/// Lets a thread attend that ends at once, in this way, as the first one would have begun.
fn end_a_turn(by: fn()) {
    let poll = station(|place| place.as_mut()?.poll.take());
    assert!(poll.is_some(), "no thread has it");
    let turn = thread::spawn(move || {
        let _shift = Shift { poll };
        by();
    });
    let _ = turn.join();
}

#[tokio::test]
async fn what_is_watched_is_heard_after_the_thread_ended_before_its_time() {
    station(|place| *place = Some(Station::open().unwrap()));
    let ways: [fn(); 2] = [|| panic!("as it should"), || {}];
    for way in ways {
        let (ours, mut theirs) = pair();
        let (others, _kept) = pair();
        // As if a thread had begun: what is added starts none.
        station(|place| place.as_mut().unwrap().running = true);
        let pool = pool_of(vec![others, ours]);
        drop(pool.acquire().await.unwrap());
        until("it is watched", || stats().watched == 1).await;
        end_a_turn(way);
        // A panic has started the next thread; else the next watch does.
        let both = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
        drop(both);
        until("both are watched", || stats().watched == 2).await;
        until("a thread attends", || stats().threads == 1).await;
        theirs.write_all(b"unasked").unwrap();
        until("it is gone", || pool.stats().seen_dying == 1).await;
        drop(pool);
        until("the thread ends", || stats().threads == 0).await;
    }
}

fn pool_of(streams: Vec<TcpStream>) -> Pool<Plain<TcpStream>> {
    let watch = IdleWatch::by(IdleBytes::Deadly, |plain: &Plain<TcpStream>| {
        Some(plain.0.as_fd())
    });
    let streams = Mutex::new(streams);
    let options = PoolOptions::new()
        .max_connections(2)
        .check_after_idle(Duration::MAX)
        .watch(watch.cold_after(Duration::from_millis(1)));
    let connect = move || {
        let stream = streams.lock().pop();
        async move { stream.map(Plain).ok_or("no more") }
    };
    options.connect_with(connect).unwrap()
}
