//! One line in, one line out.

use std::process::ExitStatus;

use futures::FutureExt;
use plunge::PoolableResource;
use plunge::transport::{Death, RequestError, Subprocess};

use crate::support::{BOUND, death_of, sh, spawn, until, within};

#[tokio::test]
async fn persistent_child_answers_each_request_with_its_own_answer() {
    let mut child = Subprocess::spawn("cat").await.unwrap();
    for number in 0..100 {
        let request = format!("{{\"id\":{number}}}");
        assert_eq!(child.request(request.as_bytes()).await.unwrap(), request);
        assert!(child.is_healthy());
    }
}

#[tokio::test]
async fn json_request_is_not_answered_by_noise() {
    let mut child =
        spawn("read -r line; echo starting up; printf '\\377\\n'; echo \"$line\"; exec cat").await;
    assert_eq!(child.request(b"{\"id\":1}").await.unwrap(), "{\"id\":1}");
    assert_eq!(child.counters().not_json, 2);
    assert_eq!(child.counters().invalid_utf8, 1);
    assert_eq!(child.request(b"plain").await.unwrap(), "plain");
}

#[tokio::test]
async fn line_end_of_other_systems_is_taken_off() {
    let mut child = spawn("read -r line; printf '{}\\r\\n'; exec cat").await;
    assert_eq!(child.request(b"{}").await.unwrap(), "{}");
}

#[tokio::test]
async fn request_with_a_line_break_is_refused_and_harmless() {
    let mut child = Subprocess::spawn("cat").await.unwrap();
    assert_eq!(
        child.request(b"a\nb").await.unwrap_err(),
        RequestError::LineBreak
    );
    assert_eq!(child.request(b"a b").await.unwrap(), "a b");
}

#[tokio::test]
async fn dropped_request_never_leaves_its_answer_to_the_next() {
    let mut child = spawn("exec cat >/dev/null").await;
    assert!(child.request(b"first").now_or_never().is_none());
    assert!(!child.is_healthy());
    assert_eq!(child.death(), Some(Death::Interrupted));
    assert_eq!(
        child.request(b"second").await.unwrap_err(),
        RequestError::Dead(Death::Interrupted)
    );
}

#[tokio::test]
async fn request_to_a_dead_child_fails_at_once() {
    let mut child = spawn("exit 7").await;
    let death = death_of(&child).await;
    assert_eq!(
        child.request(b"{}").await.unwrap_err(),
        RequestError::Dead(death)
    );
}

#[tokio::test]
async fn death_in_the_middle_of_a_request_is_its_answer() {
    let mut child = spawn("read -r line; kill -9 $$").await;
    let error = within("the death", child.request(b"{}")).await.unwrap_err();
    assert!(
        matches!(
            error,
            RequestError::Dead(Death::Exited(_) | Death::StdoutClosed)
        ),
        "{error}"
    );
}

#[tokio::test]
async fn single_shot_program_is_served_and_never_healthy_again() {
    let mut child = Subprocess::spawn(sh("cat; exit 3").single_shot())
        .await
        .unwrap();
    assert_eq!(
        within("the answer", child.request(b"{\"a\":1}"))
            .await
            .unwrap(),
        "{\"a\":1}"
    );
    assert!(!child.is_healthy());
    until("it exited", || child.exit_status().is_some()).await;
    assert_eq!(
        child.exit_status().as_ref().and_then(ExitStatus::code),
        Some(3)
    );
}

#[tokio::test]
async fn program_that_exits_after_its_first_answer_is_dead_when_it_is_returned() {
    for _ in 0..50 {
        let script = sh("read -r line; echo \"$line\"; echo more");
        let mut child = Subprocess::spawn(script.first_answer_grace(BOUND))
            .await
            .unwrap();
        assert_eq!(
            within("the answer", child.request(b"{}")).await.unwrap(),
            "{}"
        );
        assert!(!child.is_healthy());
        assert_eq!(child.counters().unsolicited, 1);
    }
}

#[tokio::test]
async fn program_that_exits_without_reading_is_served() {
    for _ in 0..50 {
        let mut child = spawn("echo '{\"ok\":true}'").await;
        match within("the answer", child.request(b"{}")).await {
            Ok(answer) => assert_eq!(answer, "{\"ok\":true}"),
            // It answered and ended before the request: a pool would not have handed it out.
            Err(error) => assert!(matches!(error, RequestError::Dead(_))),
        }
    }
}

#[tokio::test]
async fn last_answer_without_a_line_end_counts() {
    let mut child = spawn("read -r line; printf '{\"ok\":true}'").await;
    assert_eq!(
        within("the answer", child.request(b"{}")).await.unwrap(),
        "{\"ok\":true}"
    );
}

#[tokio::test]
async fn answer_that_was_cut_off_is_no_answer() {
    let mut child = spawn("read -r line; printf '{\"ok\":'").await;
    let error = within("the death", child.request(b"{}")).await.unwrap_err();
    assert!(matches!(error, RequestError::Dead(_)));
    assert_eq!(child.counters().unterminated, 1);
}

#[tokio::test]
async fn large_messages_go_both_ways() {
    let mut child = Subprocess::spawn("cat").await.unwrap();
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(9 << 20));
    for _ in 0..2 {
        assert!(
            within("the answer", child.request(large.as_bytes()))
                .await
                .unwrap()
                == large
        );
        assert_eq!(
            within("the answer", child.request(b"{}")).await.unwrap(),
            "{}"
        );
    }
}
