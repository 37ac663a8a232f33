//! The slow half of an acquire: waiting, looking, giving up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
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
        this.future
            .poll(context, || slow(pool, found))
            .map_ok(PoolConnection::new)
    }

    /// Yields where the task had its share, as tokio's own primitives do, so that a loop of hits
    /// starves nobody. The connection goes back meanwhile.
    #[cold]
    #[inline(never)]
    fn poll_charged(
        context: &mut Context<'_>,
        connection: PoolConnection<T>,
    ) -> Poll<Result<PoolConnection<T>, AcquireError>> {
        let proceed = ready!(coop::poll_proceed(context));
        proceed.made_progress();
        Poll::Ready(Ok(connection))
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
    let mut dead = 0;
    loop {
        if found.is_none() && dead < DEAD_TAKES {
            found = take(body);
        }
        let (lease, fresh) = match found.take() {
            Some(lease) => (lease, false),
            None => (wait(body, limit, until).await?, true),
        };
        match admit(body, lease, fresh, until).await {
            Ok(Admission::Admitted(lease)) => return Ok(lease),
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

async fn wait<T: Send + 'static>(
    body: &Arc<Body<T>>,
    limit: Duration,
    until: Instant,
) -> Result<Lease<T>, AcquireError> {
    let shared = body.host();
    let failures = shared.counters.connect_failures.get();
    let since = shared.clock.now();
    let wait = Wait::new(body, since, since.after(limit));
    let kind = match timeout_at(until, shared.runtimes.configured(), wait).await {
        Some(Ok(lease)) => return Ok(lease),
        Some(Err(WaitError::Closed)) => AcquireErrorKind::Closed,
        Some(Err(WaitError::Full)) => AcquireErrorKind::TooManyWaiters,
        Some(Err(WaitError::Failed(Failure::NoRuntime))) => AcquireErrorKind::NoRuntime,
        Some(Err(WaitError::Failed(Failure::Connect(error)))) => {
            return Err(shared.refuse(body, AcquireErrorKind::Connect, Some(error)));
        }
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
