//! Care: the tasks that maintenance starts for connections that need an await.
//!
//! Promise: one slow close or hook delays nothing else; a task that is dropped with its runtime
//! gives its connection up and its permit back, and counts right.

use super::guarded;
use super::hooks::{Hook, Verdict};
use super::probation::Probation;
use super::retire;
use super::shared::{Body, Permit};
use crate::sync::{Arc, Ordering};

/// Starts a task for each connection that waits for a close or a hook.
pub(crate) fn dispatch<T: Send + 'static>(body: &Arc<Body<T>>) {
    let (graves, leases) = body.host().maintenance.take_work();
    for (value, permit) in graves {
        let grave = Grave {
            body: Arc::clone(body),
            permit: Some(permit),
        };
        tokio::spawn(close(grave, value));
    }
    for lease in leases {
        let care = Care {
            body: Arc::clone(body),
            probation: Some(Probation::new(lease)),
        };
        tokio::spawn(recycle(care));
    }
}

/// Closes one connection. Its permit is freed when it is closed, overdue or given up.
pub(crate) async fn close<T: Send + 'static>(grave: Grave<T>, value: T) {
    let shared = grave.body.host();
    let until = shared.deadline(shared.tuning.load().close_timeout);
    let runtime = shared.runtimes.configured();
    let _ = guarded::run("close", until, runtime, || shared.manager.close(value)).await;
    drop(grave);
}

/// The permit of a connection that is being closed, counted as such.
pub(crate) struct Grave<T: Send + 'static> {
    body: Arc<Body<T>>,
    permit: Option<Permit<T>>,
}

impl<T: Send + 'static> Grave<T> {
    /// For a connection that did not go over the desk.
    pub(crate) fn new(body: Arc<Body<T>>, permit: Permit<T>) -> Self {
        // Relaxed: a number for the statistics.
        body.host()
            .maintenance
            .closing
            .fetch_add(1, Ordering::Relaxed);
        Self {
            body,
            permit: Some(permit),
        }
    }
}

impl<T: Send + 'static> Drop for Grave<T> {
    fn drop(&mut self) {
        // Relaxed: published by the permit, which is given back after it; see `retire::is_over_limit`.
        self.body
            .host()
            .maintenance
            .closing
            .fetch_sub(1, Ordering::Relaxed);
        drop(self.permit.take());
        self.body.host().place_freed();
    }
}

/// A connection in its async release hook: dropped half way, it is retired.
struct Care<T: Send + 'static> {
    body: Arc<Body<T>>,
    probation: Option<Probation<T>>,
}

impl<T: Send + 'static> Drop for Care<T> {
    fn drop(&mut self) {
        // Relaxed: a number for the statistics.
        self.body
            .host()
            .maintenance
            .recycling
            .fetch_sub(1, Ordering::Relaxed);
        drop(self.probation.take());
    }
}

async fn recycle<T: Send + 'static>(mut care: Care<T>) {
    let body = Arc::clone(&care.body);
    let shared = body.host();
    let tuning = shared.tuning();
    // Before the hook: a connection that nobody wants any more is not shown to one.
    if !care
        .probation
        .as_ref()
        .is_some_and(|probation| retire::is_wanted(&body, probation.lease()))
    {
        return;
    }
    let (Some(Hook::Async(hook)), Some(probation)) =
        (&tuning.hooks.after_release, &mut care.probation)
    else {
        return;
    };
    let metadata = shared.metadata_of_held(probation.lease(), shared.clock.now());
    let until = shared.deadline(tuning.hook_timeout);
    let verdict = guarded::run("after_release", until, shared.runtimes.configured(), || {
        hook(probation.lease_mut().value_mut(), &metadata)
    })
    .await;
    // Otherwise the drop of `care` retires it, after it stopped counting as recycling.
    if let Ok(Ok(Verdict::Keep)) = verdict
        && let Some(probation) = care.probation.take()
    {
        let lease = probation.pass();
        drop(care);
        match body.is_closed() {
            true => retire::bury(lease),
            false => retire::put(&body, lease),
        }
    }
}
