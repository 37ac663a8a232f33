//! A place for a future that is seldom needed.
//!
//! An `Option<F>` would do, but its drop is a call even where it is empty, on every hit.
//!
//! Promise: pinned once made, dropped with its place. Cost while empty: one byte written, one read.

use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(crate) struct Late<F> {
    // An enum, not a flag and a `MaybeUninit`: the move of an empty one copies the tag alone.
    place: Place<F>,
    _pinned: PhantomPinned,
}

enum Place<F> {
    Empty,
    Made(ManuallyDrop<F>),
}

impl<F> Late<F> {
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        Self {
            place: Place::Empty,
            _pinned: PhantomPinned,
        }
    }

    #[inline(always)]
    pub(crate) fn is_made(&self) -> bool {
        matches!(self.place, Place::Made(_))
    }
}

impl<F: Future> Late<F> {
    /// Polls the future, which `make` makes the first time.
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        make: impl FnOnce() -> F,
    ) -> Poll<F::Output> {
        // SAFETY: nothing is moved out: the future is pinned with `self`.
        let this = unsafe { self.get_unchecked_mut() };
        if let Place::Empty = this.place {
            this.place = Place::Made(ManuallyDrop::new(make()));
        }
        match &mut this.place {
            // SAFETY: as said: pinned with `self`, and dropped in place.
            Place::Made(future) => unsafe { Pin::new_unchecked(&mut **future) }.poll(context),
            Place::Empty => unreachable!("made above"),
        }
    }
}

impl<F> Drop for Late<F> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Place::Made(future) = &mut self.place {
            drop_made(future);
        }
    }
}

#[cold]
#[inline(never)]
fn drop_made<F>(future: &mut ManuallyDrop<F>) {
    // SAFETY: called by the drop of its place alone, so it is done once.
    unsafe { ManuallyDrop::drop(future) };
}
