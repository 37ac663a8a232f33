//! A child is dead at the first sign, whichever it is.

use std::process::ExitStatus;

use plunge::PoolableResource;
use plunge::transport::{Death, Subprocess, WriteError};

use crate::support::{Kept, Settled, death_of, has_ended, is_gone, sh, spawn, until};

#[tokio::test]
async fn closed_output_is_death_although_the_process_lives() {
    let _settled = Settled;
    let child = spawn("exec 1>&-; exec sleep 1000").await;
    assert_eq!(death_of(&child).await, Death::StdoutClosed);
    assert!(!child.is_healthy());
    until("it is ended", || is_gone(child.pid())).await;
}

#[tokio::test]
async fn exit_is_death_although_a_grandchild_holds_the_output() {
    let _settled = Settled;
    let kept = Kept::new();
    let child = spawn("read -r line; sleep 1000 & echo $!; exit 3").await;
    child.attach(kept.clone());
    child.writer().try_write("go".into()).unwrap();
    let Death::Exited(status) = death_of(&child).await else {
        panic!(
            "the end of the output cannot come first: {:?}",
            child.death()
        );
    };
    assert_eq!(status.code(), Some(3));
    until("the sink knows", || kept.deaths().len() == 1).await;
    let grandchild: u32 = kept.lines()[0].parse().unwrap();
    until("the grandchild is ended, too", || has_ended(grandchild)).await;
    until("the child is reaped", || is_gone(child.pid())).await;
}

#[tokio::test]
async fn kill_from_outside_is_seen() {
    let mut child = Subprocess::spawn("cat").await.unwrap();
    child.request(b"{}").await.unwrap();
    std::process::Command::new("kill")
        .args(["-9", &child.pid().to_string()])
        .status()
        .unwrap();
    assert!(matches!(
        death_of(&child).await,
        Death::Exited(_) | Death::StdoutClosed
    ));
    until("the status is known", || child.exit_status().is_some()).await;
    assert!(
        !child
            .exit_status()
            .as_ref()
            .is_some_and(ExitStatus::success)
    );
}

#[tokio::test]
async fn closed_input_is_death_at_the_next_write() {
    let _settled = Settled;
    let mut child = spawn("read -r line; exec 0<&-; echo \"$line\"; exec sleep 1000").await;
    child.request(b"{}").await.unwrap();
    assert!(child.is_healthy());
    child.writer().write("more".into()).await.unwrap();
    assert_eq!(death_of(&child).await, Death::WriteFailed);
    assert_eq!(
        child.writer().write("more".into()).await,
        Err(WriteError::Dead(Death::WriteFailed))
    );
}

#[tokio::test]
async fn line_over_the_limit_is_death_and_the_lines_before_it_count() {
    let _settled = Settled;
    let kept = Kept::new();
    let script = "read -r line; echo short; head -c 5000 /dev/zero | tr '\\0' x; exec sleep 1000";
    let child = Subprocess::spawn(sh(script).max_line_bytes(4096))
        .await
        .unwrap();
    child.attach(kept.clone());
    child.writer().try_write("go".into()).unwrap();
    assert_eq!(death_of(&child).await, Death::BrokenFraming);
    until("the sink knows", || kept.deaths() == [Death::BrokenFraming]).await;
    assert_eq!(kept.lines(), ["short"]);
    assert_eq!(child.counters().too_long, 1);
}

#[tokio::test]
async fn line_at_the_limit_is_a_line() {
    let mut child = Subprocess::spawn(sh("exec cat").max_line_bytes(4096))
        .await
        .unwrap();
    let longest = "x".repeat(4096);
    assert_eq!(child.request(longest.as_bytes()).await.unwrap(), longest);
    assert!(child.is_healthy());
}
