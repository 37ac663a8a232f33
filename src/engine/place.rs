//! A place in the code, kept where other threads may look at it.
//!
//! Promise: what is read is what some thread wrote, or nothing. Cost: a store and a load.

use std::panic::Location;
use std::ptr;

use crate::sync::{AtomicPtr, Ordering};

/// Where a call came from: the file, the line and the column.
pub(crate) type Caller = &'static Location<'static>;

/// The caller that was noted last.
#[derive(Debug)]
pub(crate) struct Place(AtomicPtr<Location<'static>>);

impl Place {
    pub(crate) fn nowhere() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn set(&self, caller: Caller) {
        // Relaxed: what it points to is part of the program and never changes.
        self.0
            .store(ptr::from_ref(caller).cast_mut(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Caller> {
        // Relaxed: as in `set`.
        let caller = self.0.load(Ordering::Relaxed).cast_const();
        // SAFETY: null, or made of a `'static` reference by `set`, the only one that writes.
        unsafe { caller.as_ref() }
    }
}
