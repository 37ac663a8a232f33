//! Models of whoever watches idle connections from outside: it holds no lease, and learns late.

use super::models::{lease, model};
use super::stage::{Item, TestBody, TestLease, open, pool};
use crate::engine::{Fairness, Handle, Stay};
use crate::sync::story::thread;
use crate::sync::{Arc, AtomicU32, Ordering};

/// An alarm that is raised while something else happens. It keeps the body, as a raised alarm does.
fn raise(body: &Arc<TestBody>, stay: Stay) -> thread::JoinHandle<bool> {
    let body = Arc::clone(body);
    thread::spawn(move || body.is_undisturbed(stay) && body.doom(stay))
}

fn idle(body: &Arc<TestBody>) -> Stay {
    let lease = body.take_quiet().expect("opened by the stage");
    let stay = lease.stay();
    drop(lease);
    stay
}

/// Would catch: an alarm dooms the connection that moved in after the one it was meant for. Planted
/// (the doom marks the slot, whoever lives there) and seen.
#[test]
fn late_alarm_dooms_nobody_new() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let stay = idle(pool.body());
        let watcher = raise(pool.body(), stay);
        drop(lease(&pool).retire());
        let new = open(pool.body());
        watcher.join().unwrap();
        assert!(!new.is_doomed(), "doomed by an alarm that was not its own");
        assert_eq!(new.uses(), 0);
    });
}

/// Would catch: an alarm that was raised is lost, and the next taker gets the dead connection.
#[test]
fn raised_alarm_is_seen_by_the_next_taker() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let stay = idle(pool.body());
        let watcher = raise(pool.body(), stay);
        // Somebody looks and puts back, as a sweep does, or takes and returns it unused.
        if let Some(looked_at) = pool.body().take_idle() {
            drop(looked_at);
        }
        let raised = watcher.join().unwrap();
        match pool.body().take_idle() {
            Some(next) => assert_eq!(next.is_doomed(), raised),
            None => assert!(raised && pool.body().capacity().open() == 0),
        }
    });
}

/// A connection's peer, as far as a watcher hears of it: says something when it is asked.
struct Peer(AtomicU32);

/// Takes, counts the use, and makes the peer answer.
fn use_it(pool: &Handle<Item, super::stage::Stage>, peer: &Peer) -> TestLease {
    let held = lease(pool);
    held.count_use();
    // Release: as the kernel does on the way of a request and its answer.
    peer.0.store(1, Ordering::Release);
    held
}

/// Would catch: the answer to whoever took the connection is taken for bytes that nobody asked for.
/// Planted (an alarm that compares the tenancy alone) and seen.
#[test]
fn answer_to_a_taker_is_no_alarm() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let stay = idle(pool.body());
        let peer = Arc::new(Peer(AtomicU32::new(0)));
        let watcher = {
            let (body, peer) = (Arc::clone(pool.body()), Arc::clone(&peer));
            thread::spawn(move || {
                // Acquire: as the kernel does when it reports the bytes.
                let spoke = peer.0.load(Ordering::Acquire) == 1;
                spoke && body.is_undisturbed(stay) && body.doom(stay)
            })
        };
        let held = use_it(&pool, &peer);
        assert!(!watcher.join().unwrap(), "bytes that were asked for");
        assert!(!held.is_doomed());
    });
}

/// Would catch: the last handle, the retirement of the last connection and a late alarm free the body
/// under one another, or none of them does (the checker reports the leak).
#[test]
fn drop_of_the_pool_against_the_watcher() {
    model(3, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let stay = idle(pool.body());
        let watcher = raise(pool.body(), stay);
        drop(pool);
        watcher.join().unwrap();
    });
}

/// Would catch: an eviction retires what an alarm dooms at the same time, and the permit is freed
/// twice or never.
#[test]
fn eviction_against_the_watcher() {
    model(2, || {
        let pool = pool(1, 1, Fairness::Fifo);
        let stay = idle(pool.body());
        let watcher = raise(pool.body(), stay);
        let evicting = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.body().evict_all();
                let doomed = pool.body().take_idle().filter(TestLease::is_doomed);
                doomed.map(|lease| drop(lease.retire()))
            })
        };
        watcher.join().unwrap();
        evicting.join().unwrap();
        assert_eq!(pool.body().capacity().open(), 0);
        assert_eq!(pool.body().idle_count(), 0);
        drop(open(pool.body()));
        assert_eq!(pool.body().idle_count(), 1);
    });
}
