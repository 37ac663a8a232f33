//! Spans and events: what a subscriber hears of a pool.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::PoolOptions;
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{Gate, Gates, Theatre, until};

/// Writes down what it hears of the target `plunge`, a line each.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
}

impl Ear {
    fn has(&self, words: &[&str]) -> bool {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)))
    }

    fn hear(&self, kind: &str, metadata: &Metadata<'_>, fields: impl FnOnce(&mut Line)) {
        let mut line = Line(format!("{} {kind} {}", metadata.level(), metadata.name()));
        fields(&mut line);
        self.heard.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "plunge"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.hear("span", span.metadata(), |line| span.record(line));
        Id::from_u64(self.spans.fetch_add(1, SeqCst) + 1)
    }

    fn event(&self, event: &Event<'_>) {
        self.hear("event", event.metadata(), |line| event.record(line));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_miss_a_dial_and_a_retirement_are_told_and_a_hit_is_not() {
    let ear = Ear::default();
    let _listening = tracing::subscriber::set_default(ear.clone());
    let theatre = Theatre::new(Gates::default());
    let pool = theatre.pool(PoolOptions::new().name("books")).unwrap();
    drop(pool.acquire().await.unwrap());
    assert!(ear.has(&["TRACE span acquire", "books"]));
    assert!(ear.has(&["DEBUG span connect", "books", "generation=0"]));
    assert!(ear.has(&["DEBUG event", "connection opened"]));
    let before = ear.heard.lock().unwrap().len();
    drop(pool.acquire().await.unwrap());
    assert_eq!(
        ear.heard.lock().unwrap().len(),
        before,
        "a hit says nothing"
    );
    pool.acquire().await.unwrap().mark_broken();
    assert!(ear.has(&["DEBUG event", "connection retired", "uses=3"]));
    assert!(pool.close(Duration::from_secs(1)).await.is_clean());
    assert!(ear.has(&["DEBUG event", "pool closed"]));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_should_see_is_a_warning() {
    let ear = Ear::default();
    let _listening = tracing::subscriber::set_default(ear.clone());
    let theatre = Theatre::new(Gates {
        factory: Gate::Error,
        ..Gates::default()
    });
    let options = PoolOptions::new()
        .max_connections(1)
        .leak_after(Duration::from_secs(1))
        .slow_acquire(Duration::from_millis(50));
    let pool = theatre.pool(options).unwrap();
    assert!(pool.acquire().await.is_err());
    assert!(ear.has(&[
        "WARN event",
        "could not be opened",
        "the gate is shut",
        "pause="
    ]));
    theatre.set(Gates {
        factory: Gate::Slow,
        ..Gates::default()
    });
    let held = pool.acquire().await.unwrap();
    assert!(ear.has(&["WARN event", "slow acquire", "waited="]));
    until("the leak is told", || {
        ear.has(&[
            "WARN event",
            "connection leaked",
            "acquired_at=tests/pool/traces.rs",
        ])
    })
    .await;
    let report = pool.close(Duration::from_secs(1)).await;
    assert!(!report.is_clean());
    assert!(ear.has(&["WARN event", "not all of it came back", "still_leased=1"]));
    drop(held);
    sleep(Duration::from_secs(1)).await;
}
