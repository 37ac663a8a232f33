//! The timer of a connection, on a clock that stands still unless somebody waits.

use std::future::pending;
use std::time::Duration;

use tokio::time::Instant;

use super::{Late, Patience};

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// Waits for what does not come; how long that took.
async fn waited(patience: &mut Patience, limit: Duration) -> Duration {
    let begun = Instant::now();
    let ended = patience.until(begun + limit, pending::<()>()).await;
    assert_eq!(ended, Err(Late));
    begun.elapsed()
}

/// Has the timer set to what it rings after.
async fn armed(patience: &mut Patience) {
    let until = Instant::now() + LONG * 9;
    let soon = tokio::time::sleep(Duration::from_millis(10));
    assert_eq!(patience.until(until, soon).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_shorter_than_those_before_ends_in_its_time() {
    let mut patience = Patience::new(LONG);
    armed(&mut patience).await;
    patience.follow(SHORT);
    let took = waited(&mut patience, SHORT).await;
    assert!(took >= SHORT && took < SHORT * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn limits_that_grow_again_end_in_their_time() {
    let mut patience = Patience::new(SHORT);
    armed(&mut patience).await;
    patience.follow(LONG);
    let took = waited(&mut patience, LONG).await;
    assert!(took >= LONG && took < LONG + SHORT, "{took:?}");
}
