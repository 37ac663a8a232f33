//! A future with a last moment.
//!
//! Promise: the timer is armed when the future first waits, not before; a future that is ready is
//! never cut off; a runtime without timers, or without a runtime at all, is an error and neither a
//! panic nor a hang. Cost: no allocation.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use super::blocking;

/// Why a future was not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Elapsed,
    /// There is no runtime that would end the wait.
    NoRuntime,
}

pin_project! {
    pub(crate) struct TimeoutAt<'a, F, S> {
        #[pin]
        future: F,
        #[pin]
        sleep: Option<Sleep>,
        until: Instant,
        runtime: Option<&'a Handle>,
        // Asked when the future first waits: whether it is polled again in good time anyway.
        spares: S,
        asked: bool,
    }
}

/// Polls `future` until `until`. The timer belongs to the runtime of the caller, or to `runtime`
/// where there is none.
pub(crate) fn timeout_at<F: Future>(
    until: Instant,
    runtime: Option<&Handle>,
    future: F,
) -> TimeoutAt<'_, F, fn() -> bool> {
    timeout_unless(until, runtime, future, || false)
}

/// Like [`timeout_at`], but arms no timer yet when the future first waits and `spares` says that
/// somebody has it polled again before long.
pub(crate) fn timeout_unless<F: Future, S: Fn() -> bool>(
    until: Instant,
    runtime: Option<&Handle>,
    future: F,
    spares: S,
) -> TimeoutAt<'_, F, S> {
    TimeoutAt {
        future,
        sleep: None,
        until,
        runtime,
        spares,
        asked: false,
    }
}

impl<F: Future, S: Fn() -> bool> Future for TimeoutAt<'_, F, S> {
    type Output = Result<F::Output, Expiry>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        // A thread that blocks keeps its own time.
        if let Some(over) = blocking::is_time(*this.until, context) {
            return match over {
                true => Poll::Ready(Err(Expiry::Elapsed)),
                false => Poll::Pending,
            };
        }
        if !std::mem::replace(this.asked, true) && (this.spares)() {
            return Poll::Pending;
        }
        if this.sleep.is_none() {
            this.sleep.set(arm(*this.until, *this.runtime));
        }
        let Some(sleep) = this.sleep.as_pin_mut() else {
            return Poll::Ready(Err(Expiry::NoRuntime));
        };
        // A timer panics when its runtime ends: that is no reason for the caller to.
        match catch_unwind(AssertUnwindSafe(|| sleep.poll(context))) {
            Ok(poll) => poll.map(|()| Err(Expiry::Elapsed)),
            Err(_) => Poll::Ready(Err(Expiry::NoRuntime)),
        }
    }
}

fn arm(until: Instant, runtime: Option<&Handle>) -> Option<Sleep> {
    let _entered = match (Handle::try_current(), runtime) {
        (Ok(_), _) => None,
        (Err(_), Some(runtime)) => Some(runtime.enter()),
        (Err(_), None) => return None,
    };
    // A runtime that was built without a timer panics here.
    catch_unwind(|| sleep_until(until)).ok()
}
