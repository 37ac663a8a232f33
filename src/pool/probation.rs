//! A connection under test: in a check or a hook.
//!
//! Promise: dropped before it passes, cancelled or panicked, it is retired, not returned.

use super::retire;
use super::shared::Lease;

/// A connection under test: dropped before it passes, it is retired.
pub(crate) struct Probation<T: Send + 'static>(Option<Lease<T>>);

impl<T: Send + 'static> Probation<T> {
    pub(crate) fn new(lease: Lease<T>) -> Self {
        Self(Some(lease))
    }

    pub(crate) fn lease(&self) -> &Lease<T> {
        match &self.0 {
            Some(lease) => lease,
            None => unreachable!("`pass` consumes the probation"),
        }
    }

    pub(crate) fn lease_mut(&mut self) -> &mut Lease<T> {
        match &mut self.0 {
            Some(lease) => lease,
            None => unreachable!("`pass` consumes the probation"),
        }
    }

    pub(crate) fn pass(mut self) -> Lease<T> {
        match self.0.take() {
            Some(lease) => lease,
            None => unreachable!("`pass` consumes the probation"),
        }
    }
}

impl<T: Send + 'static> Drop for Probation<T> {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            retire::bury(lease);
        }
    }
}
