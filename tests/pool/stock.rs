//! Bringing connections in and sorting idle ones out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use plunge::{AddErrorKind, IdleOrder, Plain, Pool, PoolOptions, TryAcquireError};
use tokio::time::sleep;

use crate::support::{BackEnd, Gate, Gates, Theatre, Unit, burst, plain, settled, until};

const SECOND: Duration = Duration::from_secs(1);

/// A pool of `size` that is filled, and its theatre.
async fn filled(size: u32, order: IdleOrder) -> (Arc<Theatre>, Pool<Unit>) {
    let theatre = Theatre::new(Gates::default());
    let options = PoolOptions::new().max_connections(size).idle_order(order);
    let pool = theatre.pool(options).unwrap();
    let mut held = Vec::new();
    for _ in 0..size {
        held.push(pool.acquire().await.unwrap());
    }
    drop(held);
    (theatre, pool)
}

/// The numbers of what is idle, in the order of its handing out.
fn idle_numbers(pool: &Pool<Unit>) -> Vec<u64> {
    let held = std::iter::from_fn(|| pool.try_acquire().ok());
    held.collect::<Vec<_>>()
        .iter()
        .map(|connection| connection.number)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn retain_keeps_what_it_is_told_to_whatever_the_order() {
    for order in [IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo] {
        let (theatre, pool) = filled(100, order).await;
        let mut shown = 0;
        let retired = pool.retain(|unit, metadata| {
            shown += 1;
            assert_eq!(metadata.uses, 1);
            unit.number % 4 == 0
        });
        assert_eq!((shown, retired, pool.stats().idle), (100, 75, 25));
        until("the others are closed", || theatre.live() == 25).await;
        let mut left = idle_numbers(&pool);
        left.sort_unstable();
        assert!(left.iter().all(|number| number % 4 == 0), "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retain_leaves_the_order_and_the_idle_times_as_they_were() {
    for order in [IdleOrder::Fifo, IdleOrder::Lifo] {
        let (_, pool) = filled(5, order).await;
        sleep(SECOND / 2).await;
        assert_eq!(pool.retain(|_, told| told.idle >= SECOND / 3), 0);
        assert_eq!(pool.retain(|unit, _| unit.number != 3), 1);
        let mut left = idle_numbers(&pool);
        if order == IdleOrder::Lifo {
            left.reverse();
        }
        assert_eq!(left, [1, 2, 4, 5], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_retired_by_retain_is_replaced_up_to_min_idle() {
    let theatre = Theatre::new(Gates::default());
    let options = PoolOptions::new().max_connections(4).min_idle(3);
    let pool = theatre.pool(options).unwrap();
    pool.wait_ready().await.unwrap();
    until("three are idle", || pool.stats().idle == 3).await;
    assert_eq!(pool.retain(|_, _| false), 3);
    until("three are idle again", || pool.stats().idle == 3).await;
    assert_eq!(theatre.made(), 6);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_wanted_is_taken_and_the_others_are_left_whatever_the_order() {
    for order in [IdleOrder::Affine, IdleOrder::Fifo, IdleOrder::Lifo] {
        let (theatre, pool) = filled(8, order).await;
        let wanted = pool.try_acquire_where(|unit| unit.number == 5).unwrap();
        assert_eq!((wanted.number, wanted.metadata().uses), (5, 2));
        let none = pool.try_acquire_where(|unit| unit.number == 5);
        assert_eq!(none.unwrap_err(), TryAcquireError::Empty, "somebody has it");
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.leased), (7, 1));
        drop(wanted);
        assert_eq!(pool.stats().idle, 8);
        let story = AssertUnwindSafe(|| pool.try_acquire_where(|_| burst()));
        assert!(catch_unwind(story).is_err());
        until("it is closed", || theatre.live() == 7).await;
        pool.close(SECOND).await;
        let closed = pool.try_acquire_where(|_| true);
        assert_eq!(closed.unwrap_err(), TryAcquireError::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn where_one_that_is_wanted_is_dead_the_next_one_is_taken() {
    for order in [IdleOrder::Affine, IdleOrder::Fifo] {
        let back_end = BackEnd::new();
        let options = || PoolOptions::new().max_connections(2);
        let pool = back_end.pool(options().idle_order(order));
        drop(pool.acquire().await.unwrap());
        back_end.restart();
        let other = back_end.pool(options());
        let fresh = other.acquire().await.unwrap().detach();
        pool.add(fresh).unwrap();
        let taken = pool.try_acquire_where(|_| true).unwrap();
        assert_eq!(taken.number, 2, "{order:?}");
        until("the first one is gone", || pool.stats().open == 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_before_one_that_wants_a_certain_one() {
    let (_theatre, pool) = filled(1, IdleOrder::Affine).await;
    let held = pool.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    until("it waits", || pool.stats().waiting == 1).await;
    drop(held);
    let refused = pool.try_acquire_where(|_| true);
    assert_eq!(refused.unwrap_err(), TryAcquireError::Empty);
    waiting.await.unwrap().unwrap();
    assert!(pool.try_acquire_where(|_| true).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_panics_costs_its_connection_alone() {
    for order in [IdleOrder::Affine, IdleOrder::Lifo] {
        let (theatre, pool) = filled(8, order).await;
        let mut asked = 0;
        let story = AssertUnwindSafe(|| {
            pool.retain(|_, _| {
                asked += 1;
                if asked == 3 { burst() } else { true }
            })
        });
        assert!(catch_unwind(story).is_err());
        assert_eq!((asked, pool.stats().idle), (3, 7));
        until("it is closed", || theatre.live() == 7).await;
        let stats = settled(&pool).await;
        assert_eq!((stats.open, stats.retired), (7, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn retain_strands_nobody_who_comes_meanwhile() {
    let (_, pool) = filled(1, IdleOrder::Affine).await;
    let mut waiting = Box::pin(pool.acquire());
    let retired = pool.retain(|_, _| {
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(Future::poll(waiting.as_mut(), context).is_pending());
        true
    });
    assert_eq!(retired, 0);
    drop(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_added_goes_to_the_first_in_line_or_lies_idle() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Never,
        ..Gates::default()
    });
    let (_, other) = filled(2, IdleOrder::Affine).await;
    let pool = theatre.pool(PoolOptions::new().max_connections(3)).unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    pool.add(other.acquire().await.unwrap().detach()).unwrap();
    assert_eq!(waiting.await.unwrap().number, 1);
    pool.add(other.acquire().await.unwrap().detach()).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.connecting, stats.opened), (2, 1, 2));
    assert_eq!(other.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_added_is_given_back() {
    let (theatre, pool) = filled(2, IdleOrder::Affine).await;
    let unit = pool.acquire().await.unwrap().detach();
    theatre.set(Gates {
        health: Gate::Discard,
        ..Gates::default()
    });
    let error = pool.add(unit).unwrap_err();
    assert_eq!(error.kind(), AddErrorKind::Unhealthy);
    theatre.calm();
    let full = plain(PoolOptions::new().max_connections(1));
    full.add(Plain(1)).unwrap();
    let refused = full.add(Plain(2)).unwrap_err();
    assert_eq!(refused.kind(), AddErrorKind::Full);
    assert_eq!(refused.into_inner(), Plain(2));
    pool.close(SECOND).await;
    let error = pool.add(error.into_inner()).unwrap_err();
    assert_eq!(error.kind(), AddErrorKind::Closed);
    assert_eq!(theatre.live(), 1);
    drop(error);
    assert_eq!(theatre.live(), 0);
}

#[test]
fn a_pool_without_a_runtime_lives_on_what_is_added() {
    let pool = plain(PoolOptions::new().max_connections(2));
    pool.add(Plain(7)).unwrap();
    for _ in 0..3 {
        let held = futures::executor::block_on(pool.acquire()).unwrap();
        assert_eq!(held.0, 7);
    }
    drop(pool);
}

#[tokio::test(start_paused = true)]
async fn added_connection_is_what_wait_ready_waits_for() {
    let theatre = Theatre::new(Gates {
        factory: Gate::Never,
        ..Gates::default()
    });
    let options = PoolOptions::new().max_connections(3).min_idle(1);
    let pool = theatre.pool(options).unwrap();
    let other = Theatre::new(Gates::default())
        .pool(PoolOptions::new())
        .unwrap();
    let bring = async {
        sleep(SECOND).await;
        let brought = other.acquire().await.unwrap().detach();
        assert!(pool.add(brought).is_ok());
    };
    let (ready, ()) = tokio::join!(pool.wait_ready(), bring);
    assert!(ready.is_ok());
}
