//! When a look at a stream costs a system call, and when it does not.

use std::cell::Cell;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A connection and its peer.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// A look, and how many system calls it made.
fn look(stream: &TcpStream, idle_bytes: IdleBytes) -> (bool, u32) {
    let calls = Cell::new(0);
    let alive = is_alive_by(stream, idle_bytes, || {
        calls.set(calls.get() + 1);
        peek(stream)
    });
    (alive, calls.get())
}

#[tokio::test]
async fn a_hot_connection_makes_no_extra_system_call() {
    let (mut ours, mut theirs) = pair().await;
    let mut buffer = [0; 64];
    for _ in 0..1_000 {
        assert_eq!(look(&ours, IdleBytes::Deadly), (true, 0), "at acquire");
        ours.write_all(b"ask").await.unwrap();
        theirs.read_exact(&mut buffer[..3]).await.unwrap();
        theirs.write_all(b"answer").await.unwrap();
        // More room than bytes: tokio knows that nothing is left.
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 6);
        assert_eq!(look(&ours, IdleBytes::Deadly), (true, 0), "at release");
    }
}

#[tokio::test]
async fn a_read_to_the_brim_costs_the_next_look_one_system_call() {
    let (mut ours, mut theirs) = pair().await;
    theirs.write_all(b"answer").await.unwrap();
    ours.read_exact(&mut [0; 6]).await.unwrap();
    assert_eq!(look(&ours, IdleBytes::Harmless), (true, 0));
    assert_eq!(look(&ours, IdleBytes::Deadly), (true, 1));
    assert_eq!(look(&ours, IdleBytes::Deadly), (true, 0), "known by now");
    // And what comes after that is heard.
    theirs.write_all(b"more").await.unwrap();
    ours.readable().await.unwrap();
    assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 4);
}

#[tokio::test]
async fn the_end_is_seen_without_a_system_call() {
    for idle_bytes in [IdleBytes::Deadly, IdleBytes::Harmless] {
        let (ours, theirs) = pair().await;
        drop(theirs);
        ours.readable().await.unwrap();
        assert_eq!(look(&ours, idle_bytes), (false, 0));
        assert_eq!(look(&ours, idle_bytes), (false, 0), "and stays seen");
    }
}

#[tokio::test]
async fn a_reset_is_the_end() {
    let (ours, theirs) = pair().await;
    theirs.set_zero_linger().unwrap();
    drop(theirs);
    ours.readable().await.unwrap();
    assert!(!is_alive(&ours, IdleBytes::Harmless));
}

#[tokio::test]
async fn unasked_bytes_are_deadly_or_harmless_and_are_not_lost() {
    let (mut ours, mut theirs) = pair().await;
    theirs.write_all(b"ticket").await.unwrap();
    ours.readable().await.unwrap();
    assert!(!ours.is_healthy());
    assert!(ours.check().await.is_err());
    assert!(is_alive(&ours, IdleBytes::Harmless));
    let mut ticket = [0; 6];
    ours.read_exact(&mut ticket).await.unwrap();
    assert_eq!(&ticket, b"ticket");
    assert!(ours.is_healthy());
}

#[test]
fn a_check_finds_that_the_runtime_is_gone() {
    let build = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = build();
    let (mut ours, _theirs) = first.block_on(pair());
    first.block_on(async { ours.check().await.unwrap() });
    drop(first);
    build().block_on(async { ours.check().await.unwrap_err() });
}
