//! A child that is no longer wanted ends, with everything in its group, wherever it is let go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt;
use plunge::PoolableResource;
use plunge::transport::{Death, Subprocess};
use tokio::runtime::{Builder, Runtime};

use crate::support::{Kept, Settled, has_ended, is_gone, sh, spawn, until, until_blocking, within};

/// Ignores the end of its input and SIGTERM, as does what it started.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1000; done";

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A stubborn child and the one that it started.
async fn stubborn() -> (Subprocess, u32) {
    let kept = Kept::new();
    let child = spawn(&format!("read -r line; {STUBBORN}")).await;
    child.attach(kept.clone());
    child.writer().write("go".into()).await.unwrap();
    until("it started its own child", || kept.lines().len() == 1).await;
    let grandchild = kept.lines()[0].parse().unwrap();
    (child, grandchild)
}

#[tokio::test]
async fn end_of_input_is_enough_for_a_polite_child() {
    let child = Subprocess::spawn(sh("cat; exit 5").eof_grace(Duration::from_secs(1000)))
        .await
        .unwrap();
    let pid = child.pid();
    within("its end", child.close()).await;
    assert!(is_gone(pid));
}

#[tokio::test]
async fn child_that_ignores_the_end_of_its_input_gets_sigterm() {
    let script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let child = Subprocess::spawn(sh(script).term_grace(Duration::from_secs(1000)))
        .await
        .unwrap();
    until("it is ready", || child.counters().lines == 1).await;
    let kept = Kept::new();
    child.attach(kept.clone());
    let pid = child.pid();
    within("its end", child.close()).await;
    assert!(is_gone(pid));
    until("the death is told", || kept.deaths() == [Death::Retired]).await;
}

#[tokio::test]
async fn child_that_ignores_everything_is_killed_with_its_group() {
    let (child, grandchild) = stubborn().await;
    let pid = child.pid();
    within("its end", child.close()).await;
    assert!(is_gone(pid));
    until("the grandchild is ended, too", || has_ended(grandchild)).await;
}

#[tokio::test]
async fn close_that_is_dropped_goes_on() {
    let (child, grandchild) = stubborn().await;
    let pid = child.pid();
    assert!(child.close().now_or_never().is_none());
    until("both are gone", || is_gone(pid) && has_ended(grandchild)).await;
}

#[tokio::test]
async fn kill_waits_for_no_grace() {
    let long = Duration::from_secs(1000);
    let child = Subprocess::spawn(sh(STUBBORN).eof_grace(long).term_grace(long))
        .await
        .unwrap();
    let pid = child.pid();
    child.kill();
    until("it is gone", || is_gone(pid)).await;
}

#[test]
fn drop_outside_a_runtime_leaves_nothing() {
    let runtime = runtime();
    let (child, grandchild) = runtime.block_on(stubborn());
    let pid = child.pid();
    std::thread::spawn(move || drop(child)).join().unwrap();
    until_blocking("both are gone", || is_gone(pid) && has_ended(grandchild));
}

#[test]
fn drop_after_the_runtime_was_shut_down_leaves_nothing() {
    let runtime = runtime();
    let (child, grandchild) = runtime.block_on(stubborn());
    let pid = child.pid();
    runtime.shutdown_background();
    drop(child);
    until_blocking("both are gone", || is_gone(pid) && has_ended(grandchild));
}

#[test]
fn child_whose_runtime_is_gone_is_dead_and_ends() {
    let runtime = runtime();
    let kept = Kept::new();
    let mut child = runtime.block_on(spawn("exec cat"));
    child.attach(kept.clone());
    drop(runtime);
    assert_eq!(child.death(), Some(Death::Unattended));
    assert_eq!(kept.deaths(), [Death::Unattended]);
    assert!(futures::executor::block_on(child.request(b"{}")).is_err());
    until_blocking("it is gone", || is_gone(child.pid()));
}

#[test]
fn drop_in_a_panic_leaves_nothing() {
    let runtime = runtime();
    let (child, grandchild) = runtime.block_on(stubborn());
    let pid = child.pid();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _child = child;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    until_blocking("both are gone", || is_gone(pid) && has_ended(grandchild));
}

#[test]
fn drop_on_a_runtime_that_is_not_driven_leaves_nothing() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (child, grandchild) = runtime.block_on(stubborn());
    let pid = child.pid();
    drop(child); // its tasks cannot run, so its input stays open
    until_blocking("both are gone", || is_gone(pid) && has_ended(grandchild));
}

#[tokio::test]
async fn settled_waits_for_what_was_dropped() {
    let (child, grandchild) = stubborn().await;
    let pid = child.pid();
    drop(child);
    within("the end", Subprocess::settled()).await;
    assert!(is_gone(pid));
    until("the grandchild is ended, too", || has_ended(grandchild)).await;
}

#[tokio::test]
async fn exit_status_of_a_retired_child_is_known() {
    let _settled = Settled;
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done";
    let child = spawn(script).await;
    let writer = child.writer();
    until("it is ready", || child.counters().lines == 1).await;
    let term = std::process::Command::new("kill")
        .arg(child.pid().to_string())
        .status();
    assert!(term.as_ref().is_ok_and(ExitStatus::success));
    until("it ended", || child.exit_status().is_some()).await;
    assert_eq!(
        child.exit_status().as_ref().and_then(ExitStatus::code),
        Some(9)
    );
    drop((child, writer));
}
