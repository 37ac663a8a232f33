//! The slow half of an acquire: waiting, looking, giving up.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::coop;
use tokio::time::Instant;

use super::admit::{self, Admission};
use super::close::why_closed;
use super::connection::PoolConnection;
use super::deadline::{Expiry, timeout_at, timeout_unless};
use super::error::{AcquireError, AcquireErrorKind, AcquirePhase};
use super::handle::Pool;
use super::maintenance;
use super::retire;
use super::shared::{Body, Failure, Lease, far};
#[cfg(feature = "tracing")]
use super::spanned::Spanned;
use super::telemetry::Begun;
use crate::engine::{Caller, Late, Wait, WaitError};
use crate::sync::Arc;
use crate::time::{LAG, Tick};

/// Dead connections that one acquire takes in a row before it waits for a new one.
const DEAD_TAKES: u32 = 2;

/// Hits that count as one operation in tokio's cooperative budget of 128: a loop of hits yields
/// every 100 µs or so.
const HITS_PER_UNIT: u64 = 64;

/// Whether the hit of this number is to be charged: one is far cheaper than what tokio counts as one
/// operation.
#[inline(always)]
pub(super) fn is_due(uses: u64) -> bool {
    uses.is_multiple_of(HITS_PER_UNIT)
}

/// Whether the task had its share, and is to yield as tokio's own primitives do, so that a loop of
/// acquires starves nobody; if not, it is charged.
#[cold]
pub(super) fn is_spent(context: &mut Context<'_>) -> bool {
    let charged = coop::poll_proceed(context).map(|proceed| proceed.made_progress());
    charged.is_pending()
}

pin_project! {
    /// An acquire: a hit at its first poll, else a slow future that is made then.
    ///
    /// Written by hand so that a hit neither builds nor drops any of the slow future's states.
    pub(crate) struct Acquire<'a, T, S, F>
    where
        T: Send,
        T: 'static,
    {
        pool: &'a Pool<T>,
        caller: Caller,
        slow: S,
        #[pin]
        future: Late<F>,
    }
}

impl<'a, T, S, F> Acquire<'a, T, S, F>
where
    T: Send + 'static,
    S: Fn(&'a Pool<T>, Option<Lease<T>>) -> F,
    F: Future<Output = Result<Lease<T>, AcquireError>>,
{
    #[inline(always)]
    pub(crate) fn new(pool: &'a Pool<T>, caller: Caller, slow: S) -> Self {
        Self {
            pool,
            caller,
            slow,
            future: Late::empty(),
        }
    }

    /// A hit that wants a closer look, or no hit.
    #[inline(never)]
    fn poll_slow(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        found: Option<Lease<T>>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        let this = self.project();
        let (pool, caller, slow) = (*this.pool, *this.caller, &*this.slow);
        let outcome = match found {
            Some(lease) if admit::soon(pool.body(), &lease) => Self::poll_hit(context, lease),
            // A look that has nothing to wait for would starve others as a hit would.
            found if !this.future.is_made() && is_spent(context) => {
                found.into_iter().for_each(Lease::put);
                return Poll::Pending;
            }
            found => this
                .future
                .poll(context, || slow(pool, found))
                .map_ok(PoolConnection::new),
        };
        outcome.map_ok(|connection| connection.entered(caller))
    }

    #[inline(always)]
    fn poll_hit(
        context: &mut Context<'_>,
        lease: Lease<T>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        let uses = lease.next_use();
        if is_due(uses) {
            return Self::poll_charged(context, lease);
        }
        lease.set_uses(uses);
        Poll::Ready(Ok(PoolConnection::new(lease)))
    }

    /// Hands a hit out, unless the task had its share. The connection goes back meanwhile, as it
    /// was: nobody had it, so no hook is shown it.
    #[cold]
    #[inline(never)]
    fn poll_charged(
        context: &mut Context<'_>,
        lease: Lease<T>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        if is_spent(context) {
            lease.put();
            return Poll::Pending;
        }
        lease.count_use();
        Poll::Ready(Ok(PoolConnection::new(lease)))
    }
}

impl<'a, T, S, F> Future for Acquire<'a, T, S, F>
where
    T: Send + 'static,
    S: Fn(&'a Pool<T>, Option<Lease<T>>) -> F,
    F: Future<Output = Result<Lease<T>, AcquireError>>,
{
    type Output = Result<PoolConnection<T>, AcquireError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The body itself, not the way to it: each atomic operation would have that loaded anew.
        let body: &Body<T> = self.pool.body();
        let found = if self.future.is_made() {
            None
        } else {
            body.take_quiet()
        };
        match found {
            Some(lease) if admit::at_once(body, &lease) => Self::poll_hit(context, lease),
            found => self.poll_slow(context, found),
        }
    }
}

/// Gets a connection within `limit`, starting with the one found, if any.
pub(crate) fn acquire_slow<T: Send + 'static>(
    body: &Arc<Body<T>>,
    found: Option<Lease<T>>,
    limit: Duration,
) -> impl Future<Output = Result<Lease<T>, AcquireError>> + Send + use<'_, T> {
    let acquire = move || look_and_wait(body, found, limit);
    #[cfg(feature = "tracing")]
    return Spanned::new(body.host().telemetry.acquire_span(), acquire);
    #[cfg(not(feature = "tracing"))]
    acquire()
}

async fn look_and_wait<T: Send + 'static>(
    body: &Arc<Body<T>>,
    mut found: Option<Lease<T>>,
    limit: Duration,
) -> Result<Lease<T>, AcquireError> {
    let shared = body.host();
    let now = Instant::now();
    let begun = Begun::at(now);
    let since = shared.clock.tick(now);
    let mut turn = Turn {
        now,
        since,
        until: far(now, limit),
        deadline: since.after(limit),
        in_front: false,
    };
    let (mut dead, mut refused) = (0, 0);
    loop {
        if body.is_closed() {
            found.into_iter().for_each(retire::bury);
            return Err(give_up(body, why_closed(body)));
        }
        // Without a runtime there is no maintenance: then nothing is late but the closing.
        let _ = maintenance::ensure(body, since);
        if found.is_none() && dead < DEAD_TAKES {
            found = take(body);
        }
        let lease = match found.take() {
            // Of a hit this was asked already.
            Some(lease) => lease,
            None => {
                let served = waited(body, &turn).await?;
                // The usual case, and the cheap one: what is handed over was given back a moment ago.
                if admit::soon(body, &served) {
                    served.count_use();
                    shared.served(since, begun);
                    return Ok(served);
                }
                turn.in_front = true;
                served
            }
        };
        let opened_for_this = lease.uses() == 0 && lease.created() >= since;
        match admit::admit(body, lease, opened_for_this, turn.until).await {
            Ok(Admission::Admitted(lease)) => {
                shared.served(since, begun);
                return Ok(lease);
            }
            Ok(Admission::Dead) if opened_for_this => rest(body, &mut refused, turn.until).await,
            Ok(Admission::Dead) => dead += 1,
            Err(kind) => return Err(give_up(body, kind)),
        }
        turn.now = Instant::now();
        if turn.now >= turn.until {
            return Err(give_up(
                body,
                AcquireErrorKind::TimedOut(AcquirePhase::Wait),
            ));
        }
    }
}

/// Something idle, if this caller may have it.
fn take<T: Send + 'static>(body: &Body<T>) -> Option<Lease<T>> {
    if body.may_take() {
        body.take_idle()
    } else {
        None
    }
}

/// A pause after a connection that was refused before anybody used it: opening the next one at
/// once, as often as time allows, would be a storm.
async fn rest<T: Send + 'static>(body: &Body<T>, refused: &mut u32, until: Instant) {
    let shared = body.host();
    let runtime = shared.runtimes.configured();
    // Without a runtime nobody would end the pause; nobody dials there either.
    if runtime.is_some() || Handle::try_current().is_ok() {
        let pause = Instant::now() + shared.backoff.pause(*refused);
        *refused = refused.saturating_add(1);
        let _ = timeout_at(until.min(pause), runtime, shared.closed(body)).await;
    }
}

/// Since when and until when a caller waits, and whether it was in line before. Both times as ticks
/// too: to work these out takes as long as to stand in line, so it is done once.
struct Turn {
    now: Instant,
    /// When it came, whatever it got since: it has waited for longer than those who came after it, in
    /// this pool and in others.
    since: Tick,
    until: Instant,
    deadline: Tick,
    in_front: bool,
}

/// Waits in line; says why it was in vain.
async fn waited<T: Send + 'static>(
    body: &Arc<Body<T>>,
    turn: &Turn,
) -> Result<Lease<T>, AcquireError> {
    let shared = body.host();
    let failures = shared.counters.connect_failures.get();
    // Out of the line before the statistics are taken.
    let kind = match in_line(body, turn).await {
        Ok(lease) => return Ok(lease),
        Err(WaitError::Closed) => AcquireErrorKind::Closed,
        Err(WaitError::Full) => AcquireErrorKind::TooManyWaiters,
        Err(WaitError::Failed(Failure::NoRuntime)) => AcquireErrorKind::NoRuntime,
        Err(WaitError::Failed(Failure::Connect(error))) => {
            return Err(shared.refuse(body, AcquireErrorKind::Connect, Some(error)));
        }
        Err(WaitError::Expired) => return Err(timed_out(body, failures)),
    };
    Err(give_up(body, kind))
}

/// The time ran out in line. The last failure to connect is named if it may be why: it came since
/// the wait began, after `failures` before it, or nothing was opened after it.
#[cold]
fn timed_out<T: Send + 'static>(body: &Body<T>, failures: u64) -> AcquireError {
    let shared = body.host();
    let queue = body.queue();
    let failed = shared.counters.connect_failures.get() != failures;
    let connecting = queue.connecting > 0 || queue.paused || failed;
    let phase = if connecting {
        AcquirePhase::Connect
    } else {
        AcquirePhase::Wait
    };
    shared.counters.timed_out.add(1);
    let named = failed || (connecting && shared.backoff.failures() > 0);
    let error = named.then(|| shared.last_error()).flatten();
    shared.refuse(body, AcquireErrorKind::TimedOut(phase), error)
}

/// Waits in line to the end. Now and then it sees to it that somebody still works for the line:
/// the runtime that does may be one that nobody drives any more.
async fn in_line<T: Send + 'static>(
    body: &Arc<Body<T>>,
    turn: &Turn,
) -> Result<Lease<T>, WaitError<Failure>> {
    let shared = body.host();
    let until = turn.until;
    // Made where it stays: it is moved nowhere, and the future holds it once.
    let mut wait = pin!(Wait::new(body, turn.since, turn.deadline, turn.in_front));
    let mut look = until.min(turn.now + LAG);
    // Most waits are far shorter than a tick: their timer is armed when the next tick finds them
    // still in line, if there is one to come. A timer costs more than a hand-off.
    let mut spares = until >= turn.now + 2 * LAG;
    loop {
        let ticks = || spares && body.tick().load() != Tick::NEVER;
        let step = timeout_unless(look, shared.runtimes.configured(), wait.as_mut(), ticks);
        let outcome = step.await;
        spares = false;
        match outcome {
            Ok(served) => return served,
            Err(Expiry::NoRuntime) => return Err(WaitError::Failed(Failure::NoRuntime)),
            Err(Expiry::Elapsed) if look >= until => return Err(WaitError::Expired),
            Err(Expiry::Elapsed) => {
                let now = Instant::now();
                look = until.min(now + LAG);
                let _ = maintenance::ensure(body, shared.clock.tick(now));
                body.resume_overdue_dials(shared.clock.tick(now));
            }
        }
    }
}

#[cold]
fn give_up<T: Send + 'static>(body: &Body<T>, kind: AcquireErrorKind) -> AcquireError {
    let shared = body.host();
    if matches!(kind, AcquireErrorKind::TimedOut(_)) {
        shared.counters.timed_out.add(1);
    }
    shared.refuse(body, kind, None)
}
