//! Being ready: the first connections are open.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::error::{AcquireError, AcquireErrorKind};
use super::handle::Pool;
use super::maintenance;

impl<T: Send + 'static> Pool<T> {
    /// Waits until `min_idle` connections are open, or as many as `max_connections` allows.
    ///
    /// # Errors
    ///
    /// The pool was closed, a connection could not be opened for a reason that is not
    /// [`Transient`](super::Transient), there is no runtime, or the pool is the parent's of this
    /// process.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the connections are opened all the same.
    pub async fn wait_ready(&self) -> Result<(), AcquireError> {
        let body = self.body();
        let shared = body.host();
        if body.is_forked() {
            return Err(shared.refuse(body, AcquireErrorKind::Forked, None));
        }
        if maintenance::ensure(body, body.host().clock.now()).is_err() {
            return Err(shared.refuse(body, AcquireErrorKind::NoRuntime, None));
        }
        let refused = shared.counters.connect_refusals.get();
        loop {
            let mut dialled = pin!(shared.dialled.notified());
            dialled.as_mut().enable();
            let mut closed = pin!(shared.closed(body));
            let stats = self.stats();
            let tuning = shared.tuning();
            if stats.closed {
                return Err(shared.refuse(body, AcquireErrorKind::Closed, None));
            }
            if stats.idle + stats.leased >= tuning.min_idle.min(tuning.max_connections) {
                return Ok(());
            }
            if shared.counters.connect_refusals.get() != refused {
                return Err(shared.refuse(body, AcquireErrorKind::Connect, shared.last_error()));
            }
            poll_fn(|context| match dialled.as_mut().poll(context) {
                Poll::Pending => closed.as_mut().poll(context),
                ready => ready,
            })
            .await;
        }
    }
}
