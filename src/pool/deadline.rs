//! A future with a last moment.
//!
//! Promise: the timer is armed when the future first waits, not before; a future that is ready is
//! never cut off; where the runtime that keeps the time is shut down, the time is over.
//! Cost: no allocation, but for callers outside a runtime: theirs is a task of the pool's runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    pub(crate) struct TimeoutAt<'a, F> {
        #[pin]
        future: F,
        #[pin]
        timer: Timer,
        until: Instant,
        runtime: Option<&'a Handle>,
    }
}

pin_project! {
    #[project = TimerProjection]
    enum Timer {
        Unarmed,
        /// Of the runtime that the caller is in.
        Own { #[pin] sleep: Sleep },
        /// Of another runtime. A `Sleep` of that one would panic in the caller's hands once it is
        /// shut down.
        Lent { sleep: Lent },
        /// No runtime: nobody could wake this future at a time. The wait has no bound.
        Unbound,
    }
}

/// A task that sleeps, ended with its owner.
struct Lent(JoinHandle<()>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Polls `future` until `until`; `None` afterwards, or when nobody keeps the time any more. The timer belongs to the runtime of the
/// caller, or to `runtime` where there is none.
pub(crate) fn timeout_at<F: Future>(
    until: Instant,
    runtime: Option<&Handle>,
    future: F,
) -> TimeoutAt<'_, F> {
    TimeoutAt {
        future,
        timer: Timer::Unarmed,
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
        if matches!(*this.timer, Timer::Unarmed) {
            this.timer.set(Timer::arm(*this.until, *this.runtime));
        }
        this.timer.poll(context).map(|()| None)
    }
}

impl Timer {
    fn arm(until: Instant, runtime: Option<&Handle>) -> Self {
        match (Handle::try_current(), runtime) {
            (Ok(_), _) => Self::Own {
                sleep: sleep_until(until),
            },
            (Err(_), Some(runtime)) => Self::Lent {
                sleep: Lent(runtime.spawn(async move { sleep_until(until).await })),
            },
            (Err(_), None) => Self::Unbound,
        }
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.project() {
            TimerProjection::Own { sleep } => sleep.poll(context),
            // An error: its runtime was shut down. Nobody else would end the wait.
            TimerProjection::Lent { sleep } => Pin::new(&mut sleep.0).poll(context).map(drop),
            TimerProjection::Unarmed | TimerProjection::Unbound => Poll::Pending,
        }
    }
}
