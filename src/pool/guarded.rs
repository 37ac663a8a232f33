//! User code kept at arm's length: a panic becomes a value, and time has a bound.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::deadline::{Expiry, timeout_at};
use super::error::StepError;
use super::manager::BoxFuture;

/// Calls user code; a panic becomes an error.
pub(crate) fn call<R>(step: &'static str, code: impl FnOnce() -> R) -> Result<R, StepError> {
    // Unwind safety: what the code may have left half done is retired by the caller.
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| StepError::Panicked(step, message(&*panic)))
}

/// Runs user code to its end or to a time; a panic becomes an error. The timer belongs to the
/// runtime of the caller, or to `runtime` where there is none.
///
/// # Cancel safety
///
/// Dropping it drops the future of the user's; a panic of that ends here.
pub(crate) async fn run<'a, R>(
    step: &'static str,
    until: Instant,
    runtime: Option<&Handle>,
    start: impl FnOnce() -> BoxFuture<'a, R>,
) -> Result<R, StepError> {
    let begun = Instant::now();
    let mut future = Kept(Some(call(step, start)?));
    let guarded = poll_fn(|context| match call(step, || future.poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    });
    let outcome = timeout_at(until, runtime, guarded).await;
    drop(future);
    match outcome {
        Ok(result) => result,
        Err(Expiry::Elapsed) => Err(StepError::TimedOut(
            step,
            until.saturating_duration_since(begun),
        )),
        Err(Expiry::NoRuntime) => Err(StepError::NoRuntime(step)),
    }
}

/// A future of the user's. Over, cut off or dropped with its caller: what it drops is the user's, too.
struct Kept<'a, R>(Option<BoxFuture<'a, R>>);

impl<R> Kept<'_, R> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<R> {
        match &mut self.0 {
            Some(future) => future.as_mut().poll(context),
            None => unreachable!("taken by the drop alone"),
        }
    }
}

impl<R> Drop for Kept<'_, R> {
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = call("drop", move || drop(future));
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "with something other than text".to_owned()
    }
}
