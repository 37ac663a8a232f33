//! Lines go to the sink, in order, and the death last.

use std::sync::Arc;

use bytes::Bytes;
use plunge::transport::{Death, LineSink, Subprocess};

use crate::support::{Kept, death_of, spawn, until};

struct Panics;

impl LineSink for Panics {
    fn on_line(&self, _: Bytes) {
        panic!("a line too much");
    }

    fn on_death(&self, _: &Death) {
        panic!("a death too much");
    }
}

#[tokio::test]
async fn sink_gets_every_line_in_order_and_then_the_death_once() {
    let kept = Kept::new();
    let child = spawn("read -r line; seq 20000").await;
    child.attach(kept.clone());
    child.writer().try_write("go".into()).unwrap();
    until("the death is told", || !kept.deaths().is_empty()).await;
    assert_eq!(
        kept.lines(),
        (1..=20000)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    drop(child);
    Subprocess::settled().await;
    assert_eq!(kept.deaths().len(), 1);
}

#[tokio::test]
async fn sink_of_a_dead_child_learns_so_at_once() {
    let first = Kept::new();
    let child = spawn("exit 0").await;
    child.attach(first.clone());
    until("the death is told", || first.deaths().len() == 1).await;
    let late = Kept::new();
    child.attach(late.clone());
    assert_eq!(late.deaths(), first.deaths());
    assert_eq!(first.deaths().len(), 1);
}

#[tokio::test]
async fn detached_sink_hears_no_more() {
    let kept = Kept::new();
    let mut child = Subprocess::spawn("cat").await.unwrap();
    child.attach(kept.clone());
    child.writer().write("one".into()).await.unwrap();
    until("the line came", || kept.lines().len() == 1).await;
    child.detach();
    child.writer().write("two".into()).await.unwrap();
    until("the line is counted", || child.counters().unsolicited == 1).await;
    assert_eq!(child.request(b"three").await.unwrap(), "three");
    assert_eq!(kept.lines(), ["one"]);
}

#[tokio::test]
async fn later_sink_replaces_the_earlier() {
    let (earlier, later) = (Kept::new(), Kept::new());
    let child = Subprocess::spawn("cat").await.unwrap();
    child.attach(earlier.clone());
    child.attach(later.clone());
    child.writer().write("one".into()).await.unwrap();
    until("the line came", || later.lines() == ["one"]).await;
    drop(child);
    until("the death came", || later.deaths() == [Death::Retired]).await;
    assert!(earlier.lines().is_empty() && earlier.deaths().is_empty());
}

#[tokio::test]
async fn panicking_sink_costs_its_child_and_nothing_else() {
    let mut other = Subprocess::spawn("cat").await.unwrap();
    let child = Subprocess::spawn("cat").await.unwrap();
    child.attach(Arc::new(Panics));
    child.writer().write("one".into()).await.unwrap();
    assert_eq!(death_of(&child).await, Death::Unattended);
    assert_eq!(other.request(b"{}").await.unwrap(), "{}");
}
