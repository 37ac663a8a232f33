//! A future within a span, which costs next to nothing where nobody listens.
//!
//! Made where it stays: what tracing offers for this takes the future and moves it, all of its states
//! with it, also for a span that is off.
//!
//! Promise: while it is polled the span is entered, and the span ends after it. Cost: if the span is
//! off, a test of that at each poll.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::Span;

pin_project! {
    pub(crate) struct Spanned<F> {
        // Dropped first.
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F> Spanned<F> {
    /// `span` around what `make` makes.
    #[inline(always)]
    pub(crate) fn new(span: Span, make: impl FnOnce() -> F) -> Self {
        Self {
            future: make(),
            span,
        }
    }
}

impl<F: Future> Future for Spanned<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = (!this.span.is_disabled()).then(|| this.span.enter());
        this.future.poll(context)
    }
}
