//! How a request gets a connection, and what its client is told if it gets none.
//!
//! Promise: who waits for what others hold waits for `acquire_timeout`; who waits for a connection that is being opened,
//! for as long as that may take, the pause after a dial that failed with it. An upstream is blamed for such a dial by
//! whoever was told of it, and for nothing else.
//! Cost: nothing over the pool's own acquire where a connection is free; else a timer and an allocation.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::timeout;

use super::connection::Site;
use super::dial::DialError;
use super::refusal::{self, Refusal};
use crate::{AcquireError, AcquireErrorKind, KeyHandle, PoolConnection};

/// A connection that knows whether it is fresh.
pub trait Aged: Send + 'static {
    /// Whether it served before, so that its end may have to do with its age.
    fn is_used(&self) -> bool;
}

/// Leases a connection; a `fresh` one has served nobody.
///
/// # Errors
///
/// What the client is told; [`blames`] says whether the upstream is at fault.
pub async fn lease<T: Aged>(
    connections: &KeyHandle<Site, T>,
    fresh: bool,
) -> Result<PoolConnection<T>, Refusal> {
    loop {
        match acquire(connections).await? {
            // What was idle beside a dead one is not to be trusted.
            lease if fresh && lease.is_used() => drop(lease.detach()),
            lease => return Ok(lease),
        }
    }
}

/// Acquires one.
///
/// # Errors
///
/// As [`lease`].
pub async fn acquire<T: Send + 'static>(
    connections: &KeyHandle<Site, T>,
) -> Result<PoolConnection<T>, Refusal> {
    let mut acquiring = pin!(connections.acquire());
    let at_once = poll_fn(|context| Poll::Ready(acquiring.as_mut().poll(context))).await;
    let acquired = match at_once {
        Poll::Ready(acquired) => acquired,
        Poll::Pending => {
            let waited = Box::pin(in_line(acquiring, connections)).await;
            waited.ok_or(refusal::BUSY)?
        }
    };
    acquired.map_err(|error| no_connection(&error))
}

/// Waits for one; `None`: for others to give theirs back, and for too long.
async fn in_line<T: Send + 'static, R>(
    mut acquiring: Pin<&mut impl Future<Output = R>>,
    connections: &KeyHandle<Site, T>,
) -> Option<R> {
    let limit = connections.key().times.acquire;
    match timeout(limit, acquiring.as_mut()).await {
        Ok(acquired) => Some(acquired),
        Err(_) if is_full(connections) => None,
        Err(_) => Some(acquiring.await),
    }
}

/// Whether more wait there than connections are being opened for, and no further one may be.
fn is_full<T: Send + 'static>(connections: &KeyHandle<Site, T>) -> bool {
    let stats = connections.pool().map(|pool| pool.stats());
    stats.is_ok_and(|stats| {
        // None is opened, and not because one could not be: all that all upstreams may have are open.
        let is_used_up = stats.connecting == 0 && !stats.paused;
        (stats.open >= stats.max_connections || is_used_up) && stats.waiting > stats.connecting
    })
}

/// What a client is told where no connection could be had.
fn no_connection(error: &AcquireError) -> Refusal {
    let failed = error.connect_error();
    let dial = failed.and_then(|failed| failed.downcast_ref::<DialError>());
    if dial.is_some_and(DialError::is_own) {
        tracing::debug!(%error, "no connection can be opened here");
        return refusal::NO_MEANS;
    }
    match error.kind() {
        AcquireErrorKind::TimedOut(_) if failed.is_none() => refusal::BUSY,
        // The dial that failed was another's, who was told of it.
        AcquireErrorKind::TimedOut(_) => refusal::NONE_IN_TIME,
        AcquireErrorKind::Connect if dial.is_some_and(DialError::is_late) => refusal::LATE,
        AcquireErrorKind::Connect => {
            tracing::debug!(%error, "no connection to an upstream");
            refusal::UNREACHABLE
        }
        AcquireErrorKind::TooManyWaiters => refusal::BUSY,
        _ => refusal::NO_MEANS,
    }
}

/// Whether the upstream is to blame that there is no connection.
pub fn blames(refusal: Refusal) -> bool {
    matches!(refusal, refusal::UNREACHABLE | refusal::LATE)
}
