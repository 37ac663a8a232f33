//! A future with a last moment.
//!
//! Promise: the timer is armed when the future first waits, not before; a future that is ready is
//! never cut off. Cost: no allocation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    pub(crate) struct TimeoutAt<'a, F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Option<Sleep>,
        until: Instant,
        runtime: Option<&'a Handle>,
    }
}

/// Polls `future` until `until`; `None` afterwards. The timer belongs to the runtime of the
/// caller, or to `runtime` where there is none.
pub(crate) fn timeout_at<F: Future>(
    until: Instant,
    runtime: Option<&Handle>,
    future: F,
) -> TimeoutAt<'_, F> {
    TimeoutAt {
        future,
        sleep: None,
        until,
        runtime,
    }
}

impl<F: Future> Future for TimeoutAt<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Some(output));
        }
        if this.sleep.is_none() {
            this.sleep.set(arm(*this.until, *this.runtime));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(context).map(|()| None),
            // No runtime: nobody could wake this future at a time. The wait has no bound.
            None => Poll::Pending,
        }
    }
}

fn arm(until: Instant, runtime: Option<&Handle>) -> Option<Sleep> {
    let _entered = match (Handle::try_current(), runtime) {
        (Ok(_), _) => None,
        (Err(_), Some(runtime)) => Some(runtime.enter()),
        (Err(_), None) => return None,
    };
    Some(sleep_until(until))
}
