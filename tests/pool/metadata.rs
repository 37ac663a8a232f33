//! What hooks and holders are told: age, idle time and uses are separate, and true.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::{Plain, PoolHooks, PoolOptions, ResourceMetadata, Verdict};
use tokio::time::sleep;

use crate::support::plain;

const SECOND: Duration = Duration::from_secs(1);
/// How far the coarse clock may be off.
const TICK: Duration = Duration::from_millis(100);

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<ResourceMetadata>>>);

impl Notes {
    fn take(&self, metadata: &ResourceMetadata) -> Verdict {
        self.0.lock().unwrap().push(*metadata);
        Verdict::Keep
    }

    fn last(&self) -> ResourceMetadata {
        *self.0.lock().unwrap().last().unwrap()
    }
}

fn is_about(seen: Duration, meant: Duration) -> bool {
    seen.abs_diff(meant) <= TICK
}

#[tokio::test(start_paused = true)]
async fn age_and_idle_time_are_separate_and_true() {
    let (greeted, returned) = (Notes::default(), Notes::default());
    let (at_acquire, at_release) = (greeted.clone(), returned.clone());
    let hooks = PoolHooks::new()
        .before_acquire_sync(move |_: &mut Plain<u64>, metadata| at_acquire.take(metadata))
        .after_release_sync(move |_, metadata| at_release.take(metadata));
    let pool = plain(PoolOptions::new().max_connections(1).hooks(hooks));
    let (mut age, mut rested) = (Duration::ZERO, Duration::ZERO);
    for (uses, leased, idle) in [(1, 5, 7), (2, 1, 60), (3, 30, 2), (4, 0, 0)] {
        let connection = pool.acquire().await.unwrap();
        let told = greeted.last();
        assert!(
            is_about(told.age, age) && is_about(told.idle, rested),
            "{told:?}"
        );
        sleep(SECOND * leased).await;
        age += SECOND * leased;
        let now = connection.metadata();
        assert_eq!((now.age, now.idle), (age, Duration::ZERO));
        assert_eq!((told.uses, now.uses), (uses, uses));
        drop(connection);
        assert_eq!((returned.last().uses, returned.last().age), (uses, age));
        rested = SECOND * idle;
        sleep(rested).await;
        age += rested;
    }
}

#[tokio::test(start_paused = true)]
async fn idle_time_is_true_under_use_as_well() {
    let notes = Notes::default();
    let seen = notes.clone();
    let hooks = PoolHooks::new()
        .before_acquire_sync(move |_: &mut Plain<u64>, metadata| seen.take(metadata));
    let pool = plain(PoolOptions::new().max_connections(1).hooks(hooks));
    for step in 1..200 {
        let connection = pool.acquire().await.unwrap();
        sleep(Duration::from_millis(step % 7)).await;
        drop(connection);
        let rest = Duration::from_millis(step * 13 % 450);
        sleep(rest).await;
        drop(pool.acquire().await.unwrap());
        assert!(
            is_about(notes.last().idle, rest),
            "{:?} for {rest:?}",
            notes.last()
        );
    }
}
