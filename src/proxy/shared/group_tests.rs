//! Who waits for a child of a group, and what wakes whom.

use std::pin::pin;

use futures::poll;

use super::child_tests::silent;
use super::era::Wanted;
use super::group::Group;
use super::tests::{begun, flight, fly, limits};
use crate::proxy::guard::Guard;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::peer::PeerSource;
use crate::proxy::session::SessionTable;
use crate::proxy::tasks::Tasks;
use crate::resilience::BreakerOptions;
use crate::sync::{Arc, Ordering};
use crate::transport::Command;

/// A group that starts no child.
fn without_starts() -> Arc<Group> {
    let options = ServeOptions::new(Upstream::Stdio(Command::new("none")), Mode::Shared);
    let (live, tasks) = (Live::new(options), Tasks::default());
    let audience = Arc::new(SessionTable::new(1));
    let guard = Guard::new(BreakerOptions::default(), false);
    let source = PeerSource::new(&live.get(), &audience.tools, &guard).unwrap();
    let group = Group::new(&source, &live, &audience, &tasks, &guard, Wanted::Legacy).unwrap();
    group.starting.store(true, Ordering::Relaxed);
    group
}

#[tokio::test]
async fn a_free_place_is_for_who_takes_one() {
    let (group, flight) = (without_starts(), flight("1", 1));
    let mut asks = pin!(group.hello(begun()));
    assert!(poll!(asks.as_mut()).is_pending());
    let (child, router) = silent().await;
    router.flights.tune(1, limits());
    let (own, _call) = fly(&router, "2", 1);
    group.children.lock().push(child);
    let mut waits = pin!(group.ready_for(&flight, begun()));
    assert!(poll!(waits.as_mut()).is_pending());
    router.flights.take(own);
    group.freed.notify_one();
    assert!(poll!(asks.as_mut()).is_ready());
    assert!(poll!(waits.as_mut()).is_ready());
}
