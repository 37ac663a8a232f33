//! The health probe.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::resilience::{HealthProbe, ProbeOptions, ProbeStep};

const BEAT: Duration = Duration::from_millis(50);

fn probe() -> HealthProbe {
    let options = ProbeOptions {
        interval: Duration::from_secs(10),
        patience: Duration::from_secs(2),
        misses: 2,
        timeouts: 3,
        longest_beat: 4 * BEAT,
    };
    HealthProbe::new(options, Instant::now())
}

/// Looks every beat until there is something to do; says how long that took.
async fn next(probe: &mut HealthProbe, busy: bool) -> (ProbeStep, Duration) {
    let begun = Instant::now();
    for _ in 0..10_000 {
        advance(BEAT).await;
        match probe.look(busy, Instant::now()) {
            ProbeStep::Wait => {}
            step => return (step, begun.elapsed()),
        }
    }
    (ProbeStep::Wait, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_and_given_up_when_it_stays_silent() {
    let mut probe = probe();
    assert_eq!(
        next(&mut probe, false).await,
        (ProbeStep::Ask, Duration::from_secs(10))
    );
    assert_eq!(
        next(&mut probe, false).await,
        (ProbeStep::Ask, Duration::from_secs(2))
    );
    assert_eq!(
        next(&mut probe, false).await,
        (ProbeStep::GiveUp, Duration::from_secs(2))
    );
}

#[tokio::test(start_paused = true)]
async fn any_sign_of_life_clears_it() {
    let mut probe = probe();
    assert_eq!(next(&mut probe, false).await.0, ProbeStep::Ask);
    assert_eq!(next(&mut probe, false).await.0, ProbeStep::Ask);
    probe.heard();
    assert_eq!(
        next(&mut probe, false).await,
        (ProbeStep::Ask, Duration::from_secs(10))
    );
}

#[tokio::test(start_paused = true)]
async fn time_in_which_this_process_did_not_run_is_not_charged() {
    let mut probe = probe();
    assert_eq!(next(&mut probe, false).await.0, ProbeStep::Ask);
    for _ in 0..9 {
        advance(Duration::from_secs(3600)).await;
        assert_eq!(
            probe.look(false, Instant::now()),
            ProbeStep::Wait,
            "an hour's stop counts as one beat"
        );
    }
    probe.heard();
    assert_eq!(next(&mut probe, false).await.0, ProbeStep::Ask);
}

#[tokio::test(start_paused = true)]
async fn a_busy_peer_is_asked_only_after_a_time_out() {
    let mut probe = probe();
    assert_eq!(next(&mut probe, true).await.0, ProbeStep::Wait);
    probe.timed_out();
    assert_eq!(next(&mut probe, true).await, (ProbeStep::Ask, BEAT));
    assert_eq!(next(&mut probe, true).await.0, ProbeStep::Ask);
    assert_eq!(next(&mut probe, true).await.0, ProbeStep::GiveUp);
}

#[tokio::test(start_paused = true)]
async fn time_outs_in_a_row_without_a_sign_of_life_give_it_up() {
    let mut probe = probe();
    for _ in 0..2 {
        probe.timed_out();
    }
    probe.heard();
    probe.timed_out();
    assert_ne!(probe.look(false, Instant::now()), ProbeStep::GiveUp);
    probe.timed_out();
    probe.timed_out();
    assert_eq!(probe.look(false, Instant::now()), ProbeStep::GiveUp);
}
