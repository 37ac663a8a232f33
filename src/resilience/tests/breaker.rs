//! The circuit breaker.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::resilience::{Admission, BreakerOptions, BreakerState, CircuitBreaker, Outcome};

const S: Duration = Duration::from_secs(1);
/// How long a probe may be alone.
const PROBE: Duration = Duration::from_secs(10);

fn breaker() -> CircuitBreaker {
    let options = BreakerOptions {
        failures: 3,
        failure_percent: 50,
        least_calls: 10,
        window: 10 * S,
        cooldown: S,
        longest_cooldown: 3 * S,
        probe_timeout: PROBE,
    };
    CircuitBreaker::new(options, Instant::now())
}

fn call(breaker: &mut CircuitBreaker, outcome: Outcome) {
    let admission = breaker.admit(Instant::now()).expect("admitted");
    breaker.record(admission, outcome, Instant::now());
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_one_probe_at_a_time_closes_it() {
    let mut breaker = breaker();
    for outcome in [
        Outcome::Failure,
        Outcome::Failure,
        Outcome::Success,
        Outcome::Failure,
        Outcome::Failure,
    ] {
        call(&mut breaker, outcome);
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
    call(&mut breaker, Outcome::Failure);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
    assert_eq!(breaker.admit(Instant::now()).unwrap_err().retry_after, S);
    advance(S).await;
    let probe = breaker.admit(Instant::now()).unwrap();
    assert_eq!(breaker.state(Instant::now()), BreakerState::HalfOpen);
    assert!(
        breaker.admit(Instant::now()).is_err(),
        "one probe at a time"
    );
    breaker.record(probe, Outcome::Success, Instant::now());
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_doubles_the_cooldown_up_to_its_cap() {
    let mut breaker = breaker();
    for _ in 0..3 {
        call(&mut breaker, Outcome::Failure);
    }
    for pause in [S, 2 * S, 3 * S, 3 * S] {
        assert_eq!(
            breaker.admit(Instant::now()).unwrap_err().retry_after,
            pause
        );
        advance(pause).await;
        call(&mut breaker, Outcome::Failure);
    }
    assert_eq!(breaker.times_opened(), 5);
}

#[tokio::test(start_paused = true)]
async fn too_large_a_share_of_failures_opens_it_and_old_ones_are_forgotten() {
    let mut breaker = breaker();
    for _ in 0..4 {
        call(&mut breaker, Outcome::Failure);
        call(&mut breaker, Outcome::Success);
    }
    advance(11 * S).await;
    call(&mut breaker, Outcome::Success);
    call(&mut breaker, Outcome::Failure);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
    for _ in 0..4 {
        call(&mut breaker, Outcome::Success);
        call(&mut breaker, Outcome::Failure);
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_from_before_counts_for_nothing() {
    let mut breaker = breaker();
    let old = breaker.admit(Instant::now()).unwrap();
    for _ in 0..3 {
        call(&mut breaker, Outcome::Failure);
    }
    breaker.record(old, Outcome::Success, Instant::now());
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
    advance(S).await;
    let _probe = breaker.admit(Instant::now()).unwrap();
    breaker.record(old, Outcome::Success, Instant::now());
    assert_eq!(breaker.state(Instant::now()), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_or_lost_makes_room_for_the_next() {
    let mut breaker = breaker();
    for _ in 0..3 {
        call(&mut breaker, Outcome::Failure);
    }
    advance(S).await;
    call(&mut breaker, Outcome::Abandoned);
    let _lost = breaker
        .admit(Instant::now())
        .expect("another probe at once");
    assert!(breaker.admit(Instant::now()).is_err());
    advance(PROBE).await;
    call(&mut breaker, Outcome::Success);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn no_other_call_is_made_beside_a_probe_before_the_time_of_that_is_over() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    advance(S).await;
    let _hangs = breaker.admit(Instant::now()).unwrap();
    for _ in 0..10 {
        let rejected = breaker.admit(Instant::now()).unwrap_err();
        assert_eq!(rejected.retry_after, S, "it may end at any time");
        advance(PROBE / 10).await;
    }
    let _next = breaker.admit(Instant::now()).expect("one more");
    assert!(breaker.admit(Instant::now()).is_err(), "and no other");
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_is_on_its_way_makes_room_for_one_other() {
    let mut breaker = breaker();
    let before = breaker.admit(Instant::now()).unwrap();
    breaker.trip(Instant::now());
    advance(S).await;
    let long = breaker.admit(Instant::now()).unwrap();
    breaker.lives(before, Instant::now());
    assert!(breaker.admit(Instant::now()).is_err(), "that is no probe");
    advance(S).await;
    breaker.lives(long, Instant::now());
    let next = breaker.admit(Instant::now()).expect("one more");
    advance(S).await;
    breaker.lives(long, Instant::now());
    breaker.record(long, Outcome::Abandoned, Instant::now());
    assert!(breaker.admit(Instant::now()).is_err(), "and no other");
    assert!(breaker.record(next, Outcome::Success, Instant::now()));
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

/// Opens it; a probe that outlasts its time, and the one that is let in beside it.
async fn two_probes(breaker: &mut CircuitBreaker) -> (Admission, Admission) {
    breaker.trip(Instant::now());
    advance(S).await;
    let slow = breaker.admit(Instant::now()).unwrap();
    advance(PROBE).await;
    (slow, breaker.admit(Instant::now()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlasts_its_time_still_closes_it() {
    let mut breaker = breaker();
    let (slow, _) = two_probes(&mut breaker).await;
    advance(S / 2).await;
    assert!(breaker.record(slow, Outcome::Success, Instant::now()));
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlasts_its_time_still_fails_and_the_next_one_then_says_nothing() {
    let mut breaker = breaker();
    let (slow, next) = two_probes(&mut breaker).await;
    assert!(breaker.record(slow, Outcome::Failure, Instant::now()));
    let rejected = breaker.admit(Instant::now()).unwrap_err();
    assert_eq!(rejected.retry_after, 2 * S);
    assert!(!breaker.record(next, Outcome::Success, Instant::now()));
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_takes_nothing_from_the_others() {
    let mut breaker = breaker();
    let (slow, next) = two_probes(&mut breaker).await;
    assert!(breaker.record(next, Outcome::Abandoned, Instant::now()));
    assert!(!breaker.rejects(Instant::now()), "room for the next");
    assert!(breaker.record(slow, Outcome::Success, Instant::now()));
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_under_many_calls_is_one_failure() {
    let mut breaker = breaker();
    let under_way: Vec<_> = (0..32)
        .map(|_| breaker.admit(Instant::now()).unwrap())
        .collect();
    advance(S).await;
    for admission in under_way {
        breaker.record(admission, Outcome::Lost, Instant::now());
        advance(S / 1000).await;
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
    call(&mut breaker, Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_again_and_again_opens_it() {
    let mut breaker = breaker();
    let late = breaker.admit(Instant::now()).unwrap();
    for lost in 1..=2 {
        call(&mut breaker, Outcome::Lost);
        assert_eq!(
            breaker.state(Instant::now()),
            BreakerState::Closed,
            "after {lost}"
        );
        advance(S / 1000).await;
    }
    // Under way all the time, and broken off by another break than those.
    advance(S).await;
    breaker.record(late, Outcome::Lost, Instant::now());
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_each_by_itself_opens_it_however_long_calls_last() {
    let mut breaker = breaker();
    let begin = |breaker: &mut CircuitBreaker| breaker.admit(Instant::now()).ok();
    let mut under_way = std::collections::VecDeque::new();
    for nth in 0..200 {
        under_way.extend(begin(&mut breaker));
        advance(S / 50).await;
        if under_way.len() <= 50 {
            continue; // each lasts a second
        }
        let outcome = match nth % 3 {
            0 => Outcome::Success,
            _ => Outcome::Lost,
        };
        let first = under_way.pop_front().unwrap();
        breaker.record(first, outcome, Instant::now());
    }
    assert_eq!(breaker.times_opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_broke_off_long_ago_does_not_count_when_somebody_outlived_it() {
    let mut breaker = CircuitBreaker::new(BreakerOptions::default(), Instant::now());
    let long = breaker.admit(Instant::now()).unwrap();
    let lost: Vec<_> = (0..100)
        .map(|_| breaker.admit(Instant::now()).unwrap())
        .collect();
    advance(S).await;
    for admission in lost {
        breaker.record(admission, Outcome::Lost, Instant::now());
    }
    advance(2 * BreakerOptions::default().window).await;
    breaker.record(long, Outcome::Success, Instant::now());
    call(&mut breaker, Outcome::Failure);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn calls_that_time_out_together_count_each() {
    let mut breaker = breaker();
    let under_way: Vec<_> = (0..3)
        .map(|_| breaker.admit(Instant::now()).unwrap())
        .collect();
    advance(S).await;
    for admission in under_way {
        breaker.record(admission, Outcome::Failure, Instant::now());
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_tripped_is_open_for_its_cooldown_and_then_tried() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    breaker.trip(Instant::now());
    assert_eq!(
        (breaker.state(Instant::now()), breaker.times_opened()),
        (BreakerState::Open, 1)
    );
    advance(S).await;
    call(&mut breaker, Outcome::Success);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_began_closes_it_before_it_ends() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    advance(S).await;
    let probe = breaker.admit(Instant::now()).unwrap();
    assert!(breaker.began(probe, Instant::now()).is_some());
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
    call(&mut breaker, Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn answers_that_begin_well_and_break_off_in_a_row_open_it() {
    let mut breaker = breaker();
    for answer in 1..=3 {
        assert_eq!(
            breaker.state(Instant::now()),
            BreakerState::Closed,
            "before {answer}"
        );
        let admission = breaker.admit(Instant::now()).unwrap();
        let began = breaker.began(admission, Instant::now()).unwrap();
        advance(S).await;
        assert!(breaker.broke_off(began, Outcome::Lost, Instant::now()));
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn answers_that_begin_well_and_break_off_among_others_open_it() {
    let mut breaker = breaker();
    let mut under_way = std::collections::VecDeque::new();
    for _ in 0..20 {
        let Ok(admission) = breaker.admit(Instant::now()) else {
            break;
        };
        under_way.extend(breaker.began(admission, Instant::now()));
        if under_way.len() > 5 {
            let first = under_way.pop_front().unwrap();
            breaker.broke_off(first, Outcome::Failure, Instant::now());
        }
        advance(S / 10).await;
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_after_long_is_one_failure() {
    let mut breaker = breaker();
    for _ in 0..2 {
        call(&mut breaker, Outcome::Failure);
    }
    let admission = breaker.admit(Instant::now()).unwrap();
    let began = breaker.began(admission, Instant::now()).unwrap();
    advance(60 * S).await;
    assert!(breaker.broke_off(began, Outcome::Lost, Instant::now()));
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn streams_that_break_off_together_are_one_failure() {
    let mut breaker = breaker();
    let began: Vec<_> = (0..32)
        .map(|_| {
            let admission = breaker.admit(Instant::now()).unwrap();
            breaker.began(admission, Instant::now()).unwrap()
        })
        .collect();
    advance(S).await;
    for began in began {
        assert!(breaker.broke_off(began, Outcome::Lost, Instant::now()));
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_after_the_breaker_turned_says_nothing() {
    let mut breaker = breaker();
    let admission = breaker.admit(Instant::now()).unwrap();
    let began = breaker.began(admission, Instant::now()).unwrap();
    breaker.trip(Instant::now());
    assert!(!breaker.broke_off(began, Outcome::Lost, Instant::now()));
    advance(S).await;
    call(&mut breaker, Outcome::Success);
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn it_rejects_for_no_longer_than_its_cooldown_though_nobody_asks() {
    let mut breaker = breaker();
    assert!(!breaker.rejects(Instant::now()));
    breaker.trip(Instant::now());
    assert!(breaker.rejects(Instant::now()));
    advance(S).await;
    assert!(!breaker.rejects(Instant::now()));
    let _probe = breaker.admit(Instant::now()).unwrap();
    assert!(breaker.rejects(Instant::now()), "while the probe is out");
}

#[tokio::test(start_paused = true)]
async fn it_is_half_open_once_its_pause_is_over_though_nobody_asks() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    assert_eq!(breaker.state(Instant::now()), BreakerState::Open);
    advance(S).await;
    assert_eq!(breaker.state(Instant::now()), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn probes_whose_answers_begin_well_and_break_off_have_longer_and_longer_pauses() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    for pause in [S, 2 * S, 3 * S, 3 * S] {
        let rejected = breaker.admit(Instant::now()).unwrap_err();
        assert_eq!(rejected.retry_after, pause);
        advance(pause).await;
        let probe = breaker.admit(Instant::now()).unwrap();
        let began = breaker.began(probe, Instant::now()).unwrap();
        assert!(breaker.broke_off(began, Outcome::Failure, Instant::now()));
        breaker.trip(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_answer_breaks_off_takes_no_success_from_another() {
    let mut breaker = breaker();
    breaker.trip(Instant::now());
    advance(S).await;
    let probe = breaker.admit(Instant::now()).unwrap();
    let began = breaker.began(probe, Instant::now()).unwrap();
    for _ in 0..4 {
        call(&mut breaker, Outcome::Success);
    }
    breaker.broke_off(began, Outcome::Failure, Instant::now());
    use Outcome::{Failure, Success};
    // With it five failures of eleven.
    for outcome in [Failure, Success, Failure, Failure, Success, Failure] {
        call(&mut breaker, outcome);
    }
    assert_eq!(breaker.state(Instant::now()), BreakerState::Closed);
}
