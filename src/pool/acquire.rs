//! The slow half of an acquire: waiting, looking, giving up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::coop;
use tokio::time::Instant;

use super::admit::{Admission, admit};
use super::connection::PoolConnection;
use super::deadline::timeout_at;
use super::error::{AcquireError, AcquireErrorKind, AcquirePhase};
use super::handle::{Hit, Pool};
use super::maintenance;
use super::shared::{Body, Failure, Lease};
use crate::engine::{Late, Wait, WaitError};
use crate::sync::Arc;
use crate::time::Tick;

/// Dead connections that one acquire takes in a row before it waits for a new one.
const DEAD_TAKES: u32 = 2;

/// Hits that count as one operation in tokio's cooperative budget of 128.
const HITS_PER_UNIT: u32 = 16;

pin_project! {
    /// An acquire: a hit at its first poll, else a slow future that is made then.
    ///
    /// Written by hand so that a hit neither builds nor drops any of the slow future's states.
    pub(crate) struct Acquire<'a, T: Send, S, F>
    where
        T: 'static,
    {
        pool: &'a Pool<T>,
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
    pub(crate) fn new(pool: &'a Pool<T>, slow: S) -> Self {
        Self {
            pool,
            slow,
            future: Late::empty(),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        found: Option<Lease<T>>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        let this = self.project();
        let (pool, slow) = (*this.pool, &*this.slow);
        // A look that has nothing to wait for would starve others as a hit would.
        if !this.future.is_made() && Self::charge(context).is_pending() {
            if let Some(lease) = found {
                lease.put();
            }
            return Poll::Pending;
        }
        this.future
            .poll(context, || slow(pool, found))
            .map_ok(PoolConnection::new)
    }

    /// Hands a hit out, unless the task had its share. The connection goes back meanwhile, as it
    /// was: nobody had it, so no hook is shown it.
    #[cold]
    #[inline(never)]
    fn poll_charged(
        context: &mut Context<'_>,
        connection: PoolConnection<T>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        if Self::charge(context).is_pending() {
            connection.into_lease().put();
            return Poll::Pending;
        }
        Poll::Ready(Ok(connection))
    }

    /// Yields where the task had its share, as tokio's own primitives do, so that a loop of
    /// acquires starves nobody.
    fn charge(context: &mut Context<'_>) -> Poll<()> {
        coop::poll_proceed(context).map(|proceed| proceed.made_progress())
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
        let found = if self.future.is_made() {
            None
        } else {
            match self.pool.hit() {
                // A hit costs a tenth of what tokio counts as one operation: not each is charged.
                Hit::Ready(connection, uses) if uses % HITS_PER_UNIT == 0 => {
                    return Self::poll_charged(context, connection);
                }
                Hit::Ready(connection, _) => return Poll::Ready(Ok(connection)),
                Hit::Aside(lease) => Some(lease),
                Hit::Empty => None,
            }
        };
        self.poll_slow(context, found)
    }
}

/// Gets a connection within `limit`, starting with the one found, if any.
pub(crate) async fn acquire_slow<T: Send + 'static>(
    body: &Arc<Body<T>>,
    mut found: Option<Lease<T>>,
    limit: Duration,
) -> Result<Lease<T>, AcquireError> {
    let shared = body.host();
    let until = shared.deadline(limit);
    // Without a runtime there is no maintenance: then nothing is late but the closing.
    let _ = maintenance::ensure(body);
    let (mut dead, mut refused) = (0, 0);
    loop {
        if found.is_none() && dead < DEAD_TAKES {
            found = take(body);
        }
        let since = shared.clock.now();
        let (lease, waited) = match found.take() {
            Some(lease) => (lease, None),
            None => (wait(body, since, limit, until).await?, Some(since)),
        };
        let opened_for_this = waited.is_some() && lease.uses() == 0 && lease.created() >= since;
        match admit(body, lease, waited, until).await {
            Ok(Admission::Admitted(lease)) => return Ok(lease),
            Ok(Admission::Dead) if opened_for_this => rest(body, &mut refused, until).await,
            Ok(Admission::Dead) => dead += 1,
            Err(kind) => return Err(give_up(body, kind)),
        }
        if Instant::now() >= until {
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

async fn wait<T: Send + 'static>(
    body: &Arc<Body<T>>,
    since: Tick,
    limit: Duration,
    until: Instant,
) -> Result<Lease<T>, AcquireError> {
    let shared = body.host();
    let failures = shared.counters.connect_failures.get();
    let wait = Wait::new(body, since, since.after(limit));
    let kind = match timeout_at(until, shared.runtimes.configured(), wait).await {
        Some(Ok(lease)) => return Ok(lease),
        Some(Err(WaitError::Closed)) => AcquireErrorKind::Closed,
        Some(Err(WaitError::Full)) => AcquireErrorKind::TooManyWaiters,
        Some(Err(WaitError::Failed(Failure::NoRuntime))) => AcquireErrorKind::NoRuntime,
        Some(Err(WaitError::Failed(Failure::Connect(error)))) => {
            return Err(shared.refuse(body, AcquireErrorKind::Connect, Some(error)));
        }
        // The runtime that kept the time for a caller without one was shut down.
        None if Instant::now() < until => AcquireErrorKind::NoRuntime,
        None | Some(Err(WaitError::Expired)) => {
            let connecting =
                body.line_lengths().1 > 0 || shared.counters.connect_failures.get() != failures;
            AcquireErrorKind::TimedOut(if connecting {
                AcquirePhase::Connect
            } else {
                AcquirePhase::Wait
            })
        }
    };
    Err(give_up(body, kind))
}

#[cold]
fn give_up<T: Send + 'static>(body: &Body<T>, kind: AcquireErrorKind) -> AcquireError {
    let shared = body.host();
    if matches!(kind, AcquireErrorKind::TimedOut(_)) {
        shared.counters.timed_out.add(1);
    }
    let error = match kind {
        AcquireErrorKind::TimedOut(AcquirePhase::Connect) => shared.last_error(),
        _ => None,
    };
    shared.refuse(body, kind, error)
}
