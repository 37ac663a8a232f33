//! Admission: the last look at a connection before a caller gets it.
//!
//! Promise: what is doomed, outdated, unhealthy, fails its check or its hook is retired, and so is
//! what is being looked at when the caller gives up.

use tokio::time::Instant;

use super::error::{AcquireErrorKind, AcquirePhase, StepError};
use super::guarded;
use super::hooks::{Hook, Verdict};
use super::probation::Probation;
use super::retire;
use super::shared::{Body, Lease};
use crate::sync::Arc;
use crate::time::Tick;

/// What a look at a connection found.
pub(crate) enum Admission<T: Send + 'static> {
    Admitted(Lease<T>),
    /// It was retired: look for another.
    Dead,
}

/// The look at a hit: it came back in this very tick, is not doomed, and nobody wants to see it.
#[inline(always)]
pub(crate) fn at_once<T: Send + 'static>(body: &Body<T>, lease: &Lease<T>) -> bool {
    lease.since() == body.tick().load() && !lease.is_doomed() && body.host().admits_all()
}

/// The longer look at a hit: it was idle for a tick or more, or has a health test.
pub(crate) fn soon<T: Send + 'static>(body: &Body<T>, lease: &Lease<T>) -> bool {
    let tick = body.tick().load();
    let admitted = body.host().admits(lease, tick);
    if admitted {
        lease.stamp(tick);
    }
    admitted
}

/// What needs no await: marks, generation, health. `None`: it was retired.
pub(crate) fn pass_marks<T: Send + 'static>(body: &Body<T>, lease: Lease<T>) -> Option<Lease<T>> {
    let shared = body.host();
    if lease.is_doomed() {
        // Whoever doomed it has told maintenance.
        shared.counters.found_dead.add(1);
    } else if shared.is_healthy(lease.value()) {
        return Some(lease);
    } else {
        shared.found_dead();
    }
    retire::bury(lease);
    None
}

/// Looks at a connection in all ways that the pool was told to. One that was opened for this very
/// acquire is not checked.
///
/// # Errors
///
/// The time is over; the connection is retired then, for its check was cut off.
pub(crate) async fn admit<T: Send + 'static>(
    body: &Arc<Body<T>>,
    lease: Lease<T>,
    fresh: bool,
    until: Instant,
) -> Result<Admission<T>, AcquireErrorKind> {
    let Some(lease) = pass_marks(body, lease) else {
        return Ok(Admission::Dead);
    };
    let now = retire::wake_clock(body);
    if !fresh && body.host().is_stale(&lease, now) {
        // What a check makes the peer say is no death.
        body.host().unwatch(&lease);
        let mut probation = Probation::new(lease);
        let checked = check(body, &mut probation, until).await;
        return match verdict(checked, until, AcquirePhase::Check)? {
            true => greet(body, probation.pass(), now, until).await,
            false => Ok(Admission::Dead),
        };
    }
    greet(body, lease, now, until).await
}

/// A check that never ends costs half of the time there is: the rest is for another connection.
fn halfway(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

async fn check<T: Send + 'static>(
    body: &Body<T>,
    probation: &mut Probation<T>,
    until: Instant,
) -> Result<Verdict, StepError> {
    let shared = body.host();
    let checked = guarded::run(
        "check",
        halfway(until),
        shared.runtimes.configured(),
        || shared.manager.check(probation.lease_mut().value_mut()),
    )
    .await;
    if !matches!(checked, Ok(Ok(()))) {
        shared.found_dead();
    }
    Ok(match checked? {
        Ok(()) => Verdict::Keep,
        Err(_) => Verdict::Discard,
    })
}

/// The hook `before_acquire`.
async fn greet<T: Send + 'static>(
    body: &Body<T>,
    mut lease: Lease<T>,
    now: Tick,
    until: Instant,
) -> Result<Admission<T>, AcquireErrorKind> {
    let shared = body.host();
    if !shared.greets() {
        lease.stamp(now);
        lease.count_use();
        return Ok(Admission::Admitted(lease));
    }
    shared.unwatch(&lease);
    let mut metadata = shared.metadata(&lease, now);
    metadata.uses = metadata.uses.wrapping_add(1);
    let tuning = shared.tuning();
    let (kept, lease) = match &tuning.hooks.before_acquire {
        None => (true, lease),
        Some(Hook::Sync(hook)) => {
            let verdict = guarded::call("before_acquire", || hook(lease.value_mut(), &metadata));
            (verdict == Ok(Verdict::Keep), lease)
        }
        Some(Hook::Async(hook)) => {
            let mut probation = Probation::new(lease);
            let step = guarded::run(
                "before_acquire",
                until,
                shared.runtimes.configured(),
                || hook(probation.lease_mut().value_mut(), &metadata),
            );
            let kept = step.await.map(|result| result.unwrap_or(Verdict::Discard));
            match verdict(kept, until, AcquirePhase::Hook)? {
                true => (true, probation.pass()),
                false => return Ok(Admission::Dead),
            }
        }
    };
    if !kept {
        retire::bury(lease);
        return Ok(Admission::Dead);
    }
    // A hook may have closed the pool.
    if body.is_closed() {
        retire::bury(lease);
        return Err(AcquireErrorKind::Closed);
    }
    lease.stamp(now);
    lease.count_use();
    Ok(Admission::Admitted(lease))
}

/// Whether a step kept its connection; an error if it took all the time there was.
fn verdict(
    step: Result<Verdict, StepError>,
    until: Instant,
    phase: AcquirePhase,
) -> Result<bool, AcquireErrorKind> {
    match step {
        Ok(verdict) => Ok(verdict == Verdict::Keep),
        Err(StepError::TimedOut(..)) if Instant::now() >= until => {
            Err(AcquireErrorKind::TimedOut(phase))
        }
        Err(StepError::NoRuntime(_)) => Err(AcquireErrorKind::NoRuntime),
        Err(_) => Ok(false),
    }
}
