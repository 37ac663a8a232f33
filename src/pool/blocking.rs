//! Blocking: an acquire for threads that are no part of a runtime.
//!
//! The same future as the async one, polled by a thread that parks in between and keeps its own
//! time, so that a wait needs no runtime. A dial does.
//!
//! Promise: a place in the same line as everybody else; no busy waiting; on a thread that runs async
//! code it is refused, not a deadlock. Cost: a hit as elsewhere, and where the thread has entered a
//! runtime, less than a microsecond to tell what it is there for; a wait parks the thread.

use std::cell::Cell;
use std::panic::Location;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::coop;
use tokio::time::Instant;

use super::acquire::{Acquire, acquire_slow};
use super::connection::PoolConnection;
use super::error::{AcquireError, AcquireErrorKind};
use super::handle::Pool;
use crate::engine::Caller;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::time::LAG;

/// More than tokio's cooperative budget, which it gives to async code alone.
const MORE_THAN_A_BUDGET: u32 = 256;

impl<T: Send + 'static> Pool<T> {
    /// Like [`acquire`](Self::acquire), for a thread that is no part of a runtime: blocks it,
    /// `acquire_timeout` at most.
    ///
    /// A connection that has to be opened is opened on the option
    /// [`runtime`](super::PoolOptions::runtime), or on the runtime that the thread has entered, as
    /// those of `spawn_blocking` have.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`AcquireErrorKind::NoRuntime`] if a connection has to be opened
    /// and there is none to open it on; [`AcquireErrorKind::InAsyncCode`] on a thread that runs async
    /// code, which it would keep from running. `tokio::task::block_in_place` makes it one that
    /// may block; a future in `tokio::task::unconstrained` is not noticed. A hook or a check that has
    /// another pool's acquire polled with a waker of its own, as `join_all` does, needs a runtime for it.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// use plunge::{Plain, PoolOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Runtime::new()?;
    /// let pool = PoolOptions::new()
    ///     .runtime(runtime.handle().clone())
    ///     .connect_with(|| async { Ok::<_, Infallible>(Plain(7)) })?;
    /// let worker = std::thread::spawn({
    ///     let pool = pool.clone();
    ///     move || pool.acquire_blocking().map(|connection| connection.0)
    /// });
    /// assert_eq!(worker.join().unwrap()?, 7);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn acquire_blocking(&self) -> Result<PoolConnection<T>, AcquireError> {
        self.block(None, Location::caller())
    }

    /// Like [`acquire_blocking`](Self::acquire_blocking), with a time-out of its own.
    ///
    /// # Errors
    ///
    /// As [`acquire_blocking`](Self::acquire_blocking).
    #[track_caller]
    pub fn acquire_blocking_timeout(
        &self,
        limit: Duration,
    ) -> Result<PoolConnection<T>, AcquireError> {
        self.block(Some(limit), Location::caller())
    }

    fn block(
        &self,
        limit: Option<Duration>,
        caller: Caller,
    ) -> Result<PoolConnection<T>, AcquireError> {
        let shared = self.body().host();
        if !is_allowed() {
            return Err(shared.refuse(self.body(), AcquireErrorKind::InAsyncCode, None));
        }
        if let Some(hit) = self.hit(caller) {
            return Ok(hit);
        }
        let limit = limit.unwrap_or_else(|| shared.acquire_timeout());
        let acquire = Acquire::new(self, caller, move |pool, found| {
            acquire_slow(pool.body(), found, limit)
        });
        wait(shared.runtimes.configured(), acquire)
    }
}

/// Whether this thread may be blocked: it runs no async code.
pub(crate) fn is_allowed() -> bool {
    Handle::try_current().is_err() || !runs_async_code()
}

/// Whether this thread is polling a future of a runtime's. Leaves its budget as it was.
fn runs_async_code() -> bool {
    fn is_bounded(left: u32) -> bool {
        let context = &mut Context::from_waker(Waker::noop());
        match coop::poll_proceed(context) {
            Poll::Pending => true,
            // Dropped on the way back, so that each step restores what it took.
            Poll::Ready(_restored) => left > 0 && is_bounded(left - 1),
        }
    }
    is_bounded(MORE_THAN_A_BUDGET)
}

/// Polls a future to its end, and parks this thread in between. Where the thread entered no runtime
/// it enters this one: checks and hooks may want timers and sockets.
pub(crate) fn wait<F: Future>(runtime: Option<&Handle>, future: F) -> F::Output {
    let runtime = runtime.filter(|_| Handle::try_current().is_err());
    let _entered = runtime.map(Handle::enter);
    let mut future = pin!(future);
    let parker = Arc::new(Parker {
        thread: thread::current(),
        called: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    loop {
        let latest = Instant::now() + LAG;
        let keeping = OwnTime::begin(latest, &waker);
        let polled = future.as_mut().poll(&mut context);
        let until = keeping.end();
        if let Poll::Ready(output) = polled {
            return output;
        }
        parker.park_until(until);
    }
}

struct Parker {
    thread: Thread,
    called: AtomicBool,
}

impl Parker {
    fn park_until(&self, until: Instant) {
        // Acquire: pairs with the Release in `wake_by_ref`; what the waker did before is seen.
        while !self.called.swap(false, Ordering::Acquire) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire in `park_until`.
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    static ALARM: Cell<Option<Alarm>> = const { Cell::new(None) };
}

/// When a thread that keeps its own time is to look again at the latest, and at what: what it polls
/// has this waker. User code within may poll something else, in a runtime that keeps the time of that.
#[derive(Clone, Copy)]
struct Alarm {
    latest: Instant,
    waker: *const (),
}

/// While this lives, the thread keeps the time of what it polls.
struct OwnTime {
    before: Option<Alarm>,
}

impl OwnTime {
    fn begin(latest: Instant, waker: &Waker) -> Self {
        let waker = waker.data();
        Self {
            before: ALARM.replace(Some(Alarm { latest, waker })),
        }
    }

    /// When it is to look again.
    fn end(self) -> Instant {
        ALARM.get().map_or_else(Instant::now, |alarm| alarm.latest)
    }
}

impl Drop for OwnTime {
    fn drop(&mut self) {
        ALARM.set(self.before);
    }
}

/// On a thread that keeps its own time, for what it polls: whether it is `until`; if not, the thread
/// looks again then.
pub(crate) fn is_time(until: Instant, context: &Context<'_>) -> Option<bool> {
    let alarm = ALARM.get()?;
    if alarm.waker != context.waker().data() {
        return None;
    }
    let over = Instant::now() >= until;
    if !over {
        let latest = alarm.latest.min(until);
        ALARM.set(Some(Alarm { latest, ..alarm }));
    }
    Some(over)
}
