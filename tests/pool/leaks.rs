//! Who holds a connection for too long, and who waited too long for one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::{Holder, Plain, Pool, PoolHooks, PoolOptions};
use tokio::time::sleep;

use crate::support::{plain, until};

const SECOND: Duration = Duration::from_secs(1);

type Told = Arc<Mutex<Vec<Holder>>>;

/// A pool that takes ten seconds for a leak, and what it reports.
fn watchful(size: u32) -> (Pool<Plain<u64>>, Told) {
    let told = Told::default();
    let notes = Arc::clone(&told);
    let hooks = PoolHooks::new().on_leak(move |holder| notes.lock().unwrap().push(*holder));
    let options = PoolOptions::new().max_connections(size).hooks(hooks);
    (plain(options.leak_after(SECOND * 10)), told)
}

/// The lines in this file where the leases told of were acquired.
fn lines(holders: &[Holder]) -> Vec<u32> {
    let places = holders.iter().map(|holder| holder.acquired_at.unwrap());
    places
        .inspect(|place| assert!(place.file().ends_with("leaks.rs"), "{place}"))
        .map(std::panic::Location::line)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_lease_held_for_too_long_is_reported_once_with_its_place() {
    let (pool, told) = watchful(2);
    let (line, held) = (line!(), pool.acquire().await.unwrap());
    sleep(SECOND * 9).await;
    assert!(told.lock().unwrap().is_empty() && pool.leaks().is_empty());
    until("it is reported", || pool.stats().leaks == 1).await;
    assert_eq!(lines(&told.lock().unwrap()), [line]);
    assert_eq!(lines(&pool.leaks()), [line]);
    let told_of = told.lock().unwrap()[0];
    assert!(told_of.metadata.held >= SECOND * 10, "{told_of}");
    assert!(told_of.to_string().contains("leaks.rs"), "{told_of}");
    sleep(SECOND * 100).await;
    assert_eq!(pool.stats().leaks, 1, "once a lease");
    drop(held);
    assert!(pool.leaks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_returned_is_no_leak_however_long_it_is_idle() {
    let (pool, _) = watchful(3);
    for _ in 0..3 {
        let held = [
            pool.acquire().await.unwrap(),
            pool.acquire_timeout(SECOND).await.unwrap(),
            pool.acquire().await.unwrap(),
        ];
        sleep(SECOND).await;
        drop(held);
        drop(pool.try_acquire().unwrap());
        sleep(SECOND * 30).await;
    }
    assert_eq!((pool.stats().leaks, pool.stats().idle), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn every_way_to_acquire_tells_its_place() {
    let (pool, _) = watchful(5);
    drop(pool.acquire().await.unwrap());
    let (first, hit) = (line!(), pool.acquire().await.unwrap());
    let (second, opened) = (line!(), pool.acquire_timeout(SECOND).await.unwrap());
    drop(pool.acquire().await.unwrap());
    let (third, taken) = (line!(), pool.try_acquire().unwrap());
    // After a rest a hit takes another way.
    drop(pool.acquire().await.unwrap());
    sleep(SECOND / 2).await;
    let (fourth, rested) = (line!(), pool.acquire().await.unwrap());
    sleep(SECOND * 11).await;
    let mut found = lines(&pool.leaks());
    found.sort_unstable();
    assert_eq!(found, [first, second, third, fourth]);
    drop((hit, opened, taken, rested));
}

#[tokio::test(start_paused = true)]
async fn each_further_lease_of_a_connection_is_reported_anew() {
    let (pool, told) = watchful(1);
    for count in 1..4 {
        let held = pool.acquire().await.unwrap();
        sleep(SECOND * 15).await;
        assert_eq!(told.lock().unwrap().len(), count);
        drop(held);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_tells_the_place_of_its_stragglers() {
    let (pool, _) = watchful(2);
    let (line, held) = (line!(), pool.acquire().await.unwrap());
    drop(pool.acquire().await.unwrap());
    let report = pool.close(SECOND).await;
    assert_eq!(lines(&report.stragglers), [line]);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn leases_are_watched_from_when_it_is_asked_for_to_when_it_is_not() {
    let (pool, told) = watchful(3);
    pool.tune(|tuning| tuning.leak_after = None).unwrap();
    let unwatched = pool.acquire().await.unwrap();
    sleep(SECOND * 20).await;
    assert_eq!((pool.stats().leaks, pool.leaks().len()), (0, 0));
    pool.tune(|tuning| tuning.leak_after = Some(SECOND))
        .unwrap();
    let watched = pool.acquire().await.unwrap();
    until("it is reported", || pool.stats().leaks == 1).await;
    drop((unwatched, watched));
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_keeps_nothing_from_its_work() {
    let hooks = PoolHooks::new().on_leak(|_| crate::support::burst());
    let options = PoolOptions::new().max_connections(2).hooks(hooks);
    let pool = plain(options.leak_after(SECOND).idle_timeout(SECOND * 5));
    let held = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    until("it is reported", || pool.stats().leaks == 1).await;
    until("the idle one is retired", || pool.stats().idle == 0).await;
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_served_acquire_that_took_too_long_is_counted() {
    let options = PoolOptions::new().max_connections(1);
    let pool = plain(options.slow_acquire(SECOND / 10));
    for (hold, slow) in [(SECOND / 20, 0), (SECOND / 5, 1), (SECOND, 2)] {
        let held = pool.acquire().await.unwrap();
        let (served, ()) = tokio::join!(pool.acquire(), async {
            sleep(hold).await;
            drop(held);
        });
        drop(served.unwrap());
        assert_eq!(pool.stats().slow_acquires, slow);
    }
}

#[cfg(feature = "keyed")]
#[tokio::test(start_paused = true)]
async fn the_pools_of_many_keys_tell_the_place_of_their_caller() {
    let options = PoolOptions::new().leak_after(SECOND);
    let keyed = plunge::KeyedOptions::new().per_key(options);
    let keyed = keyed
        .connect_with(|_: &u32| async { Ok::<_, std::convert::Infallible>(Plain(0_u64)) })
        .unwrap();
    drop(keyed.acquire(&1).await.unwrap());
    let (first, hit) = (line!(), keyed.acquire(&1).await.unwrap());
    let (second, opened) = (line!(), keyed.handle(1).acquire().await.unwrap());
    drop(keyed.acquire(&1).await.unwrap());
    let (third, taken) = (line!(), keyed.try_acquire(&1).unwrap());
    let report = keyed.close(SECOND).await;
    let mut found = lines(&report.stragglers);
    found.sort_unstable();
    assert_eq!(found, [first, second, third]);
    drop((hit, opened, taken));
}
