//! Opening connections, in tasks of the pool's own.
//!
//! Promise: a caller that gives up does not undo a dial; a dial that fails, panics, is overdue or
//! is dropped with its runtime gives its permit back and tells whoever waits.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::timeout_at;
use super::error::{SharedError, StepError, Transient};
use super::guarded;
use super::hooks::{Hook, Verdict};
use super::maintenance;
use super::manager::ConnectContext;
use super::metadata::ResourceMetadata;
use super::resource::BoxError;
use super::shared::{Body, Failure, Shared, Ticket};
#[cfg(feature = "tracing")]
use super::spanned::Spanned;
use super::telemetry::Begun;
use crate::sync::Arc;

/// Starts a task that opens a connection, and further ones while they are wanted.
pub(crate) fn start<T: Send + 'static>(ticket: Ticket<T>) -> Result<(), Failure> {
    let Some(body) = ticket.body().map(Arc::clone) else {
        return Ok(());
    };
    let mut ticket = Some(ticket);
    // If the first runtime is gone, it dropped the ticket: whoever is told of the freed permit asks
    // again, and that may be the caller.
    let spawned = body.host().runtimes.spawn(|| ticket.take().map(run));
    spawned.map_err(|_| Failure::NoRuntime)
}

async fn run<T: Send + 'static>(first: Ticket<T>) {
    let mut next = Some(first);
    while let Some(ticket) = next {
        let Some(body) = ticket.body().map(Arc::clone) else {
            return;
        };
        let shared = body.host();
        let Some(ticket) = ticket.unless_surplus() else {
            // Whoever fills the idle set may have counted on it.
            shared.place_freed();
            return;
        };
        let begun = Begun::at(Instant::now());
        let generation = ticket.generation();
        let opening = || open(shared, &body, generation);
        #[cfg(feature = "tracing")]
        let opening = {
            let failures = shared.backoff.failures();
            let span = shared.telemetry.connect_span(failures, generation);
            || Spanned::new(span, opening)
        };
        next = match opening().await {
            Ok(value) => {
                shared.telemetry.opened(begun);
                shared.backoff.reset();
                shared.counters.opened.add(1);
                // For the clock and the closing of what is opened here.
                let _ = maintenance::ensure(&body, body.host().clock.now());
                ticket.serve(value, shared.clock.now())
            }
            // Given up, not failed.
            Err(_) if body.is_closed() => return,
            Err(error) => fail(shared, &body, ticket, error).await,
        };
        // Whoever waits for the pool to be ready, and whoever fills it, look again.
        shared.dialled.notify_waiters();
        shared.maintenance.wake();
    }
}

/// Tells whoever waits, pauses, and goes on if somebody still waits then.
async fn fail<T: Send + 'static>(
    shared: &Shared<T>,
    body: &Body<T>,
    ticket: Ticket<T>,
    error: BoxError,
) -> Option<Ticket<T>> {
    let transient = error.is::<Transient>();
    let error: SharedError = Arc::from(error);
    shared.counters.connect_failures.add(1);
    shared.counters.connect_refusals.add(u64::from(!transient));
    shared.last_error.store(Some(Arc::new(Arc::clone(&error))));
    let wait = shared.backoff.fail();
    shared.telemetry.connect_failed(&error, wait);
    let until = shared.clock.now().after(wait);
    let pause = ticket.fail((!transient).then_some(Failure::Connect(error)), until)?;
    let _ = timeout_at(shared.deadline(wait), None, shared.closed(body)).await;
    pause.over()
}

/// Opens one connection within `connect_timeout`, `after_create` included.
async fn open<T: Send + 'static>(
    shared: &Shared<T>,
    body: &Body<T>,
    generation: u32,
) -> Result<T, BoxError> {
    let until = shared.deadline(shared.tuning.load().connect_timeout);
    let context = ConnectContext {
        failures: shared.backoff.failures(),
        generation,
    };
    let connect = guarded::run("connect", until, shared.runtimes.configured(), || {
        shared.manager.connect(&context)
    });
    let mut value = unless_closed(shared, body, connect).await??;
    match unless_closed(shared, body, created(shared, &mut value, generation, until)).await {
        Ok(Verdict::Keep) => Ok(value),
        Ok(Verdict::Discard) => {
            discard(shared, value).await;
            Err(StepError::Refused("after_create").into())
        }
        Err(error) => {
            discard(shared, value).await;
            Err(error)
        }
    }
}

async fn created<T: Send + 'static>(
    shared: &Shared<T>,
    value: &mut T,
    generation: u32,
    until: Instant,
) -> Result<Verdict, BoxError> {
    let metadata = ResourceMetadata {
        age: Duration::ZERO,
        idle: Duration::ZERO,
        held: Duration::ZERO,
        uses: 0,
        generation,
    };
    let tuning = shared.tuning();
    match &tuning.hooks.after_create {
        None => Ok(Verdict::Keep),
        Some(Hook::Sync(hook)) => Ok(guarded::call("after_create", || hook(value, &metadata))?),
        Some(Hook::Async(hook)) => {
            guarded::run("after_create", until, shared.runtimes.configured(), || {
                hook(value, &metadata)
            })
            .await?
        }
    }
}

/// A dial ends early when the pool is closed.
async fn unless_closed<T: Send + 'static, R, E: Into<BoxError>>(
    shared: &Shared<T>,
    body: &Body<T>,
    step: impl Future<Output = Result<R, E>>,
) -> Result<R, BoxError> {
    let mut step = std::pin::pin!(step);
    let mut closed = std::pin::pin!(shared.closed(body));
    poll_fn(|context| match step.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.map_err(Into::into)),
        Poll::Pending => closed
            .as_mut()
            .poll(context)
            .map(|()| Err(BoxError::from("the pool was closed meanwhile"))),
    })
    .await
}

/// Closes a connection that never came into the pool.
async fn discard<T: Send + 'static>(shared: &Shared<T>, value: T) {
    let until = shared.deadline(shared.tuning.load().close_timeout);
    if shared.closes_async {
        let _ = guarded::run("close", until, shared.runtimes.configured(), || {
            shared.manager.close(value)
        })
        .await;
    } else {
        let _ = guarded::call("drop", || drop(value));
    }
}
