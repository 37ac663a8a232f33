//! Who waits for a child that nobody has spoken to yet.

use std::pin::pin;

use bytes::Bytes;
use futures::poll;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Nursery;
use crate::proxy::guard::Guard;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::peer::PeerSource;
use crate::proxy::wire::{Fault, RequestId};
use crate::proxy::{http::ToolHeaders, peer::PeerSink};
use crate::resilience::{BreakerOptions, Deadline};
use crate::sync::Arc;
use crate::transport::{Command, Death, LineSink};

/// Hears that a child is dead.
#[derive(Default)]
struct Mourner(Notify);

impl LineSink for Mourner {
    fn on_line(&self, _: Bytes) {}

    fn on_death(&self, _: &Death) {
        self.0.notify_one();
    }
}

impl PeerSink for Mourner {
    fn on_fault(&self, _: &RequestId, _: Fault) {}

    fn on_over(&self, _: &str) {}
}

/// The window is between the death of the one that is ready and the sweep that lets go of it.
#[tokio::test]
async fn who_finds_nothing_but_a_dead_child_waits_for_one_that_hurries() {
    let command = Command::new("sleep").arg("600");
    let options = ServeOptions::new(Upstream::Stdio(command), Mode::Session);
    let live = Live::new(options);
    let (tools, guard) = (
        Arc::<ToolHeaders>::default(),
        Guard::new(BreakerOptions::default(), false),
    );
    let source = PeerSource::new(&live.get(), &tools, &guard).unwrap();
    let nursery = Nursery::new(&source, &live, &Arc::default()).unwrap();
    nursery.warm().await.unwrap();
    let mourner = Arc::<Mourner>::default();
    let child = nursery.pool.acquire().await.unwrap();
    child.attach(mourner.clone());
    let pid = rustix::process::Pid::from_raw(child.pid().unwrap().cast_signed()).unwrap();
    drop(child);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    mourner.0.notified().await;
    let mut taking = pin!(nursery.take(Deadline::endless(Instant::now())));
    assert!(poll!(taking.as_mut()).is_pending());
    assert!(nursery.pace.is_waited_for());
}
