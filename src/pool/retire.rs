//! Coming back: what happens to a returned connection when something is to be done.
//!
//! Promise: runs in a drop, on any thread: nothing is awaited, spawned or left to a runtime that
//! may be gone, and a panic of user code loses the connection only.

use super::error::StepError;
use super::guarded;
use super::hooks::{Hook, Verdict};
use super::maintenance;
use super::shared::{Body, Lease, Permit, Shared};
use crate::engine::{GateWord, Host};
use crate::sync::Arc;
use crate::time::Tick;

/// Puts a returned connection where it belongs: back, to a hook, or away.
#[inline(never)]
pub(crate) fn take_back<T: Send + 'static>(lease: Lease<T>) {
    if lease.is_noted() {
        lease.note(false);
    }
    let body = lease.body();
    let tick = body.tick().load();
    // Somebody waits and all else is well, the usual case: no reference to the body is taken, for
    // its count is a word that all workers would fight for.
    if body.gate().has_only_waiters()
        && tick != Tick::NEVER
        && !lease.is_doomed()
        && !std::thread::panicking()
        && body.host().keeps(lease.value())
    {
        lease.end(tick);
        return lease.put();
    }
    take_back_slow(lease);
}

#[cold]
#[inline(never)]
fn take_back_slow<T: Send + 'static>(mut lease: Lease<T>) {
    let body = Arc::clone(lease.body());
    if body.is_forked() {
        return bury(lease);
    }
    let shared = body.host();
    end_hold(&body, &lease);
    // Before any hook: a connection that nobody wants any more is not shown to one.
    if !is_wanted(&body, &lease) || !shared.is_healthy(lease.value()) {
        return bury(lease);
    }
    let tuning = shared.tuning();
    match &tuning.hooks.after_release {
        None => {}
        Some(Hook::Sync(hook)) => {
            let metadata = shared.metadata_of_held(&lease, shared.now());
            let verdict = guarded::call("after_release", || hook(lease.value_mut(), &metadata));
            // The hook may have closed the pool or dropped the last handle.
            if verdict != Ok::<_, StepError>(Verdict::Keep) || !is_wanted(&body, &lease) {
                return bury(lease);
            }
        }
        // Awaited by maintenance; without one there is nobody to run it.
        Some(Hook::Async(_)) => return shared.maintenance.recycle(lease),
    }
    put(&body, lease);
}

/// Tells for how long a lease was held that ends now, where a tick saw it.
fn end_hold<T: Send + 'static>(body: &Body<T>, lease: &Lease<T>) {
    let shared = body.host();
    if shared.telemetry.is_timed() {
        // As coarse as the time at which it began; exact where the clock sleeps, as that was.
        let now = match body.tick().load() {
            Tick::NEVER => shared.now(),
            tick => tick,
        };
        shared.telemetry.held(lease.since(), now);
    }
}

/// Takes a connection that a caller holds out of the pool, for good.
///
/// # Errors
///
/// It is the parent's, and so are its place and its watch.
pub(crate) fn take_out<T: Send + 'static>(lease: Lease<T>) -> Result<(T, Permit<T>), Lease<T>> {
    let body = Arc::clone(lease.body());
    if body.is_forked() {
        return Err(lease);
    }
    end_hold(&body, &lease);
    Ok(retire(body.host(), lease))
}

/// Puts a connection that passed all tests.
pub(crate) fn put<T: Send + 'static>(body: &Arc<Body<T>>, lease: Lease<T>) {
    lease.stamp(wake_clock(body));
    lease.put();
}

/// Whether the pool wants a connection back at all.
pub(crate) fn is_wanted<T: Send + 'static>(body: &Body<T>, lease: &Lease<T>) -> bool {
    let gate = body.gate();
    if lease.is_doomed() || std::thread::panicking() || gate.has(GateWord::CLOSED) {
        return false;
    }
    !(gate.has(GateWord::INSPECT) && is_over_limit(body))
}

/// Whether more stay open than may: what is being closed goes anyway, and keeps its permit meanwhile.
pub(crate) fn is_over_limit<T: Send + 'static>(body: &Body<T>) -> bool {
    // In this order, which the permit that is given back keeps (SeqCst, after the count fell): one whose close ends
    // between the two looks makes one more go, and never leaves one too many.
    let capacity = body.capacity();
    let (_, closing) = body.host().maintenance.in_care();
    capacity.open().saturating_sub(closing) > capacity.limit()
}

/// The time now; sees to it that somebody advances it from here on.
pub(crate) fn wake_clock<T: Send + 'static>(body: &Body<T>) -> Tick {
    let tick = body.tick().load();
    if tick != Tick::NEVER {
        return tick;
    }
    let now = body.host().now();
    maintenance::wake_clock(body, now);
    now
}

/// Takes a connection out of the pool, and counts that.
pub(crate) fn retire<T: Send + 'static>(shared: &Shared<T>, lease: Lease<T>) -> (T, Permit<T>) {
    shared.unwatch(&lease);
    let uses = lease.uses();
    let retired = lease.retire();
    shared.counters.retired.add(1);
    shared.counters.retired_uses.add(uses);
    shared.telemetry.retired(uses);
    retired
}

/// Takes a connection out of the pool and closes it: in maintenance if closing has to be awaited
/// and somebody can, else right here.
pub(crate) fn bury<T: Send + 'static>(lease: Lease<T>) {
    if lease.body().is_forked() {
        // The parent has it too: closed here, it would be broken there.
        return std::mem::forget(lease);
    }
    let shared = Arc::clone(lease.body());
    let shared: &Shared<T> = shared.host();
    let (value, permit) = retire(shared, lease);
    if shared.closes_async {
        shared.maintenance.bury(value, permit);
    } else {
        // The permit is freed after the value.
        let _ = guarded::call("drop", || drop(value));
        drop(permit);
        shared.place_freed();
    }
}
