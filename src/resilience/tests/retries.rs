//! Backoff and the retry budget.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::resilience::{Backoff, RetryBudget};

const MS: Duration = Duration::from_millis(1);

#[test]
fn pauses_grow_to_the_cap_and_are_short_again_after_a_success() {
    let mut backoff = Backoff::new(100 * MS, 3000 * MS, 7);
    for longest in [100, 200, 400, 800, 1600, 3000, 3000] {
        assert_eq!(backoff.longest(), longest * MS);
        assert!(backoff.fail() < longest * MS);
    }
    (0..100).for_each(|_| _ = backoff.fail());
    assert_eq!(backoff.longest(), 3000 * MS);
    backoff.succeed();
    assert_eq!((backoff.longest(), backoff.failures()), (100 * MS, 0));
}

#[test]
fn those_who_failed_together_come_back_apart() {
    let mut buckets = [0; 10];
    for seed in 0..200 {
        let mut backoff = Backoff::new(1000 * MS, 30_000 * MS, seed);
        buckets[(backoff.fail().as_millis() / 100) as usize] += 1;
    }
    assert!(
        buckets.iter().all(|count| (5..=40).contains(count)),
        "{buckets:?}"
    );
}

#[test]
fn a_peers_own_pause_is_kept_with_jitter_on_top() {
    let mut backoff = Backoff::new(100 * MS, 1000 * MS, 3);
    for _ in 0..50 {
        let pause = backoff.at_least(5000 * MS);
        assert!((5000 * MS..10_000 * MS).contains(&pause), "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_share_of_the_calls() {
    let mut budget = RetryBudget::new(20, 0, Instant::now());
    assert!(!budget.retry(Instant::now()));
    (0..100).for_each(|_| budget.call(Instant::now()));
    assert_eq!(
        (0..100).filter(|_| budget.retry(Instant::now())).count(),
        20
    );
}

#[tokio::test(start_paused = true)]
async fn a_few_retries_a_second_need_no_calls_and_savings_do_not_last() {
    let mut budget = RetryBudget::new(20, 5, Instant::now());
    let spend =
        |budget: &mut RetryBudget| (0..1000).filter(|_| budget.retry(Instant::now())).count();
    assert_eq!(spend(&mut budget), 5);
    advance(1000 * MS).await;
    assert_eq!(spend(&mut budget), 5);
    (0..1000).for_each(|_| budget.call(Instant::now()));
    advance(11_000 * MS).await;
    budget.call(Instant::now());
    advance(11_000 * MS).await;
    assert!(spend(&mut budget) <= 6);
}
