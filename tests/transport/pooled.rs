//! Children in a pool: kept while they serve, gone with everything of theirs when they do not.

use std::collections::HashSet;
use std::time::Duration;

use plunge::transport::{Command, SpawnError, Subprocess};
use plunge::{AcquireErrorKind, Pool, PoolOptions};

use crate::support::{
    BOUND, children, descriptors, in_own_process, is_gone, multi_thread, sh, until, within,
};

fn pool_of(max_connections: u32, command: Command) -> Pool<Subprocess> {
    PoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(move || Subprocess::spawn(&command))
        .unwrap()
}

#[tokio::test]
async fn one_connection_answers_everything_from_one_process() {
    let pool = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(|| Subprocess::spawn("cat"))
        .unwrap();
    let tasks = (0..20).map(|task| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut pids = HashSet::new();
            for number in 0..50 {
                let request = format!("{{\"task\":{task},\"id\":{number}}}");
                let mut child = pool.acquire().await.unwrap();
                assert_eq!(child.request(request.as_bytes()).await.unwrap(), request);
                pids.insert(child.pid());
            }
            pids
        })
    });
    let pids = futures::future::join_all(tasks).await;
    let pids: HashSet<u32> = pids.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(pids.len(), 1);
    assert_eq!(pool.stats().opened, 1);
    assert!(pool.close(Duration::from_secs(30)).await.is_clean());
    assert!(pids.into_iter().all(is_gone));
}

#[tokio::test]
async fn cancelled_request_costs_the_child_and_not_the_capacity() {
    let pool = pool_of(
        1,
        sh("while read -r line; do [ \"$line\" = hang ] || echo \"$line\"; done"),
    );
    let mut pids = HashSet::new();
    for number in 0..5 {
        let mut child = pool.acquire().await.unwrap();
        pids.insert(child.pid());
        let hangs = child.request(b"hang");
        assert!(
            tokio::time::timeout(Duration::from_millis(1), hangs)
                .await
                .is_err()
        );
        drop(child);
        let mut child = pool.acquire().await.unwrap();
        let request = number.to_string();
        assert_eq!(child.request(request.as_bytes()).await.unwrap(), request);
    }
    assert!(
        pids.len() >= 5,
        "a child with an answer to come was handed out again"
    );
    assert!(pool.stats().open <= 1);
}

#[tokio::test]
async fn child_that_died_idle_is_not_handed_out() {
    let pool = pool_of(1, sh("exec cat"));
    let first = {
        let mut child = pool.acquire().await.unwrap();
        child.request(b"{}").await.unwrap();
        child.pid()
    };
    std::process::Command::new("kill")
        .args(["-9", &first.to_string()])
        .status()
        .unwrap();
    until("it is seen and reaped", || is_gone(first)).await;
    let mut child = pool.acquire().await.unwrap();
    assert_ne!(child.pid(), first);
    assert_eq!(child.request(b"{}").await.unwrap(), "{}");
}

#[tokio::test]
async fn missing_program_reaches_the_caller_in_its_own_words() {
    let pool = pool_of(1, Command::new("no-such-program-anywhere"));
    let error = within("the error", pool.acquire()).await.unwrap_err();
    assert_eq!(error.kind(), AcquireErrorKind::Connect);
    let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let told = chain
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    assert!(
        told.contains("no-such-program-anywhere") && told.contains("PATH"),
        "{told}"
    );
    assert_eq!(pool.stats().capacity_free, 1);
}

#[test]
fn passing_errors_are_marked_for_the_pool_and_permanent_ones_are_not() {
    let passing = SpawnError::System {
        program: "p".into(),
        source: std::io::ErrorKind::OutOfMemory.into(),
    };
    assert!(passing.into_pool_error().is::<plunge::Transient>());
    let permanent = SpawnError::NotFound {
        program: "p".into(),
    };
    assert!(permanent.into_pool_error().is::<SpawnError>());
}

#[test]
fn thousand_single_shots_are_served_and_leave_nothing() {
    in_own_process(
        "pooled::thousand_single_shots_are_served_and_leave_nothing",
        || {
            multi_thread().block_on(async {
                let command = sh("read -r line; echo \"$line\"").single_shot();
                let pool = pool_of(4, command);
                let before = (descriptors_of_warm(&pool).await, Vec::<u32>::new());
                for number in 0..250 {
                    let requests = (0..4).map(|task| serve_one(&pool, number * 4 + task));
                    futures::future::join_all(requests).await;
                }
                until("the capacity is free", || pool.stats().capacity_free == 4).await;
                assert_eq!(pool.stats().open, 0);
                assert!(pool.stats().retired >= 1000);
                Subprocess::settled().await;
                until("nothing is left", || (descriptors(), children()) == before).await;
            });
        },
    );
}

async fn serve_one(pool: &Pool<Subprocess>, number: u32) {
    let request = format!("{{\"id\":{number}}}");
    let mut child = pool.acquire().await.unwrap();
    assert_eq!(child.request(request.as_bytes()).await.unwrap(), request);
    drop(child);
    assert_eq!(
        pool.stats().idle,
        0,
        "a program that answered its one request went back"
    );
}

/// The descriptors that stay: those of the runtime, the pool and the keeper.
async fn descriptors_of_warm(pool: &Pool<Subprocess>) -> usize {
    serve_one(pool, 0).await;
    until("it is gone", || {
        children().is_empty() && pool.stats().open == 0
    })
    .await;
    Subprocess::settled().await;
    let mut least = descriptors();
    // The tasks of the child close its pipes a moment after it is gone.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        least = least.min(descriptors());
    }
    least
}

#[test]
fn programs_that_exit_unannounced_are_served_and_leave_nothing() {
    in_own_process(
        "pooled::programs_that_exit_unannounced_are_served_and_leave_nothing",
        || {
            multi_thread().block_on(async {
                let command = sh("read -r line; echo \"$line\"").first_answer_grace(BOUND);
                let pool = pool_of(4, command);
                for number in 0..200 {
                    serve_one(&pool, number).await;
                }
                assert_eq!(pool.stats().open, pool.stats().closing);
                assert!(pool.close(Duration::from_secs(30)).await.is_clean());
                Subprocess::settled().await;
                until("no child is left", || children().is_empty()).await;
            });
        },
    );
}

#[test]
fn pool_dropped_with_its_runtime_leaves_no_child() {
    in_own_process(
        "pooled::pool_dropped_with_its_runtime_leaves_no_child",
        || {
            let runtime = multi_thread();
            let pool = pool_of(4, sh("trap '' TERM; cat; while :; do sleep 1000; done"));
            runtime.block_on(async {
                let held = futures::future::join_all((0..4).map(|_| pool.acquire())).await;
                assert!(held.iter().all(Result::is_ok));
            });
            assert_eq!(children().len(), 4);
            drop(runtime);
            drop(pool);
            futures::executor::block_on(Subprocess::settled());
            assert!(children().is_empty());
        },
    );
}

#[test]
fn one_pool_serves_two_runtimes_in_turn() {
    let pool = pool_of(1, sh("exec cat"));
    let mut pids = Vec::new();
    for _ in 0..2 {
        let runtime = multi_thread();
        runtime.block_on(async {
            let mut child = within("a child", pool.acquire()).await.unwrap();
            assert_eq!(
                within("the answer", child.request(b"{}")).await.unwrap(),
                "{}"
            );
            pids.push(child.pid());
        });
    }
    assert_ne!(
        pids[0], pids[1],
        "a child whose runtime is gone cannot serve"
    );
}
