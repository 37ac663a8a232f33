//! A child that does not read costs a bounded queue and nothing else.

use bytes::Bytes;
use futures::FutureExt;
use plunge::transport::{Death, Subprocess, WriteError};

use crate::support::{Gate, Kept, Settled, death_of, sh, until, within};

fn line(number: usize) -> Bytes {
    format!("{number:01000}").into()
}

#[tokio::test]
async fn full_queue_pushes_back_and_a_dropped_write_queues_nothing() {
    let gate = Gate::new();
    let script = format!("{} exec cat", gate.wait());
    let child = Subprocess::spawn(sh(&script).stdin_queue_bytes(20_000))
        .await
        .unwrap();
    let kept = Kept::new();
    child.attach(kept.clone());
    let writer = child.writer();

    let (mut queued, mut refused) = (0, 0);
    while refused < 1000 {
        match writer.try_write(line(queued)) {
            Ok(()) => (queued, refused) = (queued + 1, 0),
            Err(WriteError::Full) => {
                refused += 1; // the task that fills the pipe gets its turns
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        writer.write(line(999_999)).now_or_never().is_none(),
        "there is no room"
    );

    gate.open();
    for _ in 0..100 {
        within("room", writer.write(line(queued))).await.unwrap();
        queued += 1;
    }
    until("all came", || kept.lines().len() == queued).await;
    assert!(
        kept.lines()
            .iter()
            .enumerate()
            .all(|(number, came)| line(number) == came.as_bytes())
    );
}

#[tokio::test]
async fn writer_that_waits_learns_of_the_death() {
    let _settled = Settled;
    let script = "exec sleep 1000";
    let child = Subprocess::spawn(sh(script).stdin_queue_bytes(1000))
        .await
        .unwrap();
    let writer = child.writer();
    let mut waits = tokio::spawn(async move {
        loop {
            if let Err(error) = writer.write(line(0)).await {
                return error;
            }
        }
    });
    assert!((&mut waits).now_or_never().is_none());
    child.kill();
    assert_eq!(
        within("the error", waits).await.unwrap(),
        WriteError::Dead(Death::Retired)
    );
}

#[tokio::test]
async fn line_longer_than_the_queue_passes() {
    let child = Subprocess::spawn(sh("exec cat").stdin_queue_bytes(10))
        .await
        .unwrap();
    let kept = Kept::new();
    child.attach(kept.clone());
    let long = Bytes::from(vec![b'x'; 300_000]);
    for _ in 0..3 {
        within("room", child.writer().write(long.clone()))
            .await
            .unwrap();
    }
    until("all came", || kept.lines().len() == 3).await;
    assert!(kept.lines.lock().unwrap().iter().all(|came| *came == long));
}

#[tokio::test]
async fn lines_of_many_tasks_arrive_whole_and_in_the_order_of_each() {
    let child = Subprocess::spawn(sh("exec cat")).await.unwrap();
    let kept = Kept::new();
    child.attach(kept.clone());
    let tasks = (0..8).map(|task| {
        let writer = child.writer();
        tokio::spawn(async move {
            for number in 0..500 {
                writer
                    .write(format!("{task} {number}").into())
                    .await
                    .unwrap();
            }
        })
    });
    futures::future::join_all(tasks).await;
    until("all came", || kept.lines().len() == 4000).await;
    let lines = kept.lines();
    for task in 0..8 {
        let own = lines
            .iter()
            .filter(|line| line.starts_with(&format!("{task} ")));
        assert!(
            own.enumerate()
                .all(|(number, line)| *line == format!("{task} {number}"))
        );
    }
}

#[tokio::test]
async fn line_break_is_refused() {
    let child = Subprocess::spawn("cat").await.unwrap();
    assert_eq!(
        child.writer().try_write("a\nb".into()),
        Err(WriteError::LineBreak)
    );
    assert_eq!(
        child.writer().write("a\nb".into()).await,
        Err(WriteError::LineBreak)
    );
}

#[tokio::test]
async fn finished_input_ends_after_what_was_queued() {
    let _settled = Settled;
    let child = Subprocess::spawn(sh("wc -l; exec sleep 1000"))
        .await
        .unwrap();
    let kept = Kept::new();
    child.attach(kept.clone());
    let writer = child.writer();
    for number in 0..10 {
        writer.write(line(number)).await.unwrap();
    }
    writer.finish();
    assert_eq!(writer.write(line(10)).await, Err(WriteError::Finished));
    until("it read to the end", || kept.lines() == ["10"]).await;
    assert_eq!(child.death(), None);
    drop(child);
    assert!(matches!(
        writer.try_write(line(0)),
        Err(WriteError::Dead(Death::Retired))
    ));
}

#[tokio::test]
async fn dead_child_takes_no_line() {
    let child = Subprocess::spawn(sh("exit 0")).await.unwrap();
    let death = death_of(&child).await;
    assert_eq!(
        child.writer().write("{}".into()).await,
        Err(WriteError::Dead(death))
    );
}
