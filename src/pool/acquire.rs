//! The slow half of an acquire: waiting, looking, giving up.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::admit::{Admission, admit};
use super::deadline::timeout_at;
use super::error::{AcquireError, AcquireErrorKind, AcquirePhase};
use super::maintenance;
use super::shared::{Body, Failure, Lease};
use crate::engine::{Wait, WaitError};
use crate::sync::Arc;

/// Dead connections that one acquire takes in a row before it waits for a new one.
const DEAD_TAKES: u32 = 2;

pin_project! {
    /// Keeps the polls of a cold future out of its caller's code.
    pub(crate) struct Cold<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Cold<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future }
    }
}

impl<F: Future> Future for Cold<F> {
    type Output = F::Output;

    #[cold]
    #[inline(never)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
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
    body.take_quiet().or_else(|| {
        if body.may_overtake() {
            body.take_idle()
        } else {
            None
        }
    })
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
