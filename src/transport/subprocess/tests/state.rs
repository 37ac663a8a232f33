//! The state word of a child.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::transport::Death;
use crate::transport::subprocess::state::State;

const DEATHS: [Death; 9] = [
    Death::StdoutClosed,
    Death::WriteFailed,
    Death::BrokenFraming,
    Death::Interrupted,
    Death::Unattended,
    Death::Served,
    Death::Retired,
    Death::ReapedElsewhere,
    Death::Unattended,
];

fn status(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

#[test]
fn new_child_is_healthy() {
    let state = State::default();
    assert!(state.is_healthy() && !state.is_dead() && !state.is_gone());
    assert_eq!((state.death(), state.exit_status()), (None, None));
}

#[test]
fn request_in_flight_is_unhealthy_and_not_dead() {
    let state = State::default();
    state.begin().unwrap();
    assert!(!state.is_healthy() && !state.is_dead());
    state.finish();
    assert!(state.is_healthy());
}

#[test]
fn every_death_is_kept_and_the_first_one_counts() {
    for first in DEATHS {
        let state = State::default();
        assert!(state.die(first));
        for later in DEATHS {
            assert!(!state.die(later));
        }
        assert_eq!(state.death(), Some(first));
        assert_eq!(state.begin(), Err(first));
        assert!(!state.is_healthy());
    }
}

#[test]
fn exit_is_a_reason_if_there_is_none_and_always_a_status() {
    let state = State::default();
    assert!(state.exit(status(3)));
    assert!(!state.exit(status(4)));
    assert_eq!(state.death(), Some(Death::Exited(status(3))));
    assert_eq!(state.exit_status(), Some(status(3)));

    let state = State::default();
    assert!(state.die(Death::StdoutClosed));
    assert!(!state.exit(ExitStatus::from_raw(9)));
    assert_eq!(state.death(), Some(Death::StdoutClosed));
    assert_eq!(
        state.exit_status().and_then(|status| status.signal()),
        Some(9)
    );
}

#[test]
fn gone_is_kept_beside_the_rest() {
    let state = State::default();
    state.begin().unwrap();
    state.exit(status(0));
    state.set_gone();
    state.finish();
    assert!(state.is_gone() && state.is_dead() && !state.is_healthy());
    assert_eq!(state.exit_status(), Some(status(0)));
}
