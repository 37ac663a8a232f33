//! An acquire of a key, as a future by hand.
//!
//! Promise: a hit builds, copies and drops none of what a miss needs; a loop of hits yields as one of
//! a single pool does. Cost of a hit: that of the pool, and the way to it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::engine::{Caller, Late};
use crate::pool::acquire::{is_due, is_spent};
use crate::pool::admit;
use crate::pool::connection::PoolConnection;
use crate::pool::error::AcquireError;
use crate::pool::handle::Pool;
use crate::pool::shared::Body;

pin_project! {
    /// A hit at the first poll, if `hit` finds one; else what `slow` makes.
    pub(super) struct Acquire<H, S, F> {
        hit: H,
        slow: S,
        #[pin]
        future: Late<F>,
    }
}

impl<H, S, F> Acquire<H, S, F> {
    #[inline]
    pub(super) fn new(hit: H, slow: S) -> Self {
        Self {
            hit,
            slow,
            future: Late::empty(),
        }
    }
}

impl<T, H, S, F> Future for Acquire<H, S, F>
where
    T: Send + 'static,
    H: Fn(&mut Context<'_>) -> Poll<Option<PoolConnection<T>>>,
    S: Fn() -> F,
    F: Future<Output = Result<PoolConnection<T>, AcquireError>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !this.future.is_made()
            && let Some(hit) = ready!((this.hit)(context))
        {
            return Poll::Ready(Ok(hit));
        }
        this.future.poll(context, this.slow)
    }
}

/// Something idle of a pool that may be handed out at once. Pending: the task had its share; what was
/// found went back as it was, for nobody had it.
#[inline]
pub(super) fn poll_hit<T: Send + 'static>(
    pool: &Pool<T>,
    caller: Caller,
    context: &mut Context<'_>,
) -> Poll<Option<PoolConnection<T>>> {
    let body: &Body<T> = pool.body();
    let Some(lease) = body.take_quiet() else {
        return Poll::Ready(None);
    };
    let at_once = admit::at_once(body, &lease);
    if !at_once && !admit::soon(body, &lease) {
        lease.put();
        return Poll::Ready(None);
    }
    let uses = lease.next_use();
    if is_due(uses) && is_spent(context) {
        lease.put();
        return Poll::Pending;
    }
    lease.set_uses(uses);
    let hit = PoolConnection::new(lease);
    Poll::Ready(Some(if at_once { hit } else { hit.entered(caller) }))
}
