//! Deadlines.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::resilience::{Deadline, Expired, Timeouts};

const S: Duration = Duration::from_secs(1);

fn limits() -> Timeouts {
    Timeouts {
        connect: S,
        request: 3 * S,
        idle: 2 * S,
        response: 5 * S,
        overall: 20 * S,
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_has_its_own_limit_and_name() {
    let mut call = Deadline::new(&limits(), Instant::now());
    advance(2 * S).await;
    assert_eq!(call.expired(Instant::now()), None);
    advance(S).await;
    assert_eq!(call.expired(Instant::now()), Some(Expired::Request));
    call.progress(&limits(), Instant::now());
    assert_eq!(call.expired(Instant::now()), None);
    advance(2 * S).await;
    assert_eq!(call.expired(Instant::now()), Some(Expired::Idle));
}

#[tokio::test(start_paused = true)]
async fn progress_resets_the_idle_clock_under_an_absolute_cap() {
    let mut call = Deadline::new(&limits(), Instant::now());
    for _ in 0..5 {
        call.progress(&limits(), Instant::now());
        assert_eq!(call.expired(Instant::now()), None);
        advance(S).await;
    }
    call.progress(&limits(), Instant::now());
    assert_eq!(call.expired(Instant::now()), Some(Expired::Response));
}

#[tokio::test(start_paused = true)]
async fn retries_share_the_whole() {
    let mut call = Deadline::new(&limits(), Instant::now());
    for _ in 0..7 {
        assert_eq!(call.expired(Instant::now()), None);
        advance(3 * S).await;
        call.again(&limits(), Instant::now());
    }
    assert_eq!(call.expired(Instant::now()), Some(Expired::Overall));
    assert_eq!(call.left(Instant::now()), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_the_whole_runs_while_a_person_is_asked() {
    let mut call = Deadline::new(&limits(), Instant::now());
    call.progress(&limits(), Instant::now());
    call.pause(Instant::now());
    advance(15 * S).await;
    assert_eq!(call.expired(Instant::now()), None);
    call.resume(&limits(), Instant::now());
    assert_eq!(call.expires(), Instant::now() + 2 * S);
    advance(4 * S).await;
    call.progress(&limits(), Instant::now());
    advance(S).await;
    assert_eq!(call.expired(Instant::now()), Some(Expired::Overall));
}
