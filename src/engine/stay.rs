//! A stay: one connection, idle, and not taken since somebody looked.
//!
//! For whoever watches idle connections from outside: it holds no lease, and learns late.
//!
//! Promise: a doom by an old stay hits nobody who moved in later. Cost: three numbers to keep; one
//! compare-exchange to doom.

use super::body::Body;
use super::host::Host;
use super::lease::Lease;
use super::slot::{SlotId, Tenancy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    id: SlotId,
    tenancy: Tenancy,
    uses: u64,
}

impl Stay {
    /// The number of the slot.
    pub(crate) fn number(self) -> u32 {
        self.id.number()
    }

    /// How often the connection had been taken.
    pub(crate) fn uses(self) -> u64 {
        self.uses
    }
}

impl<T, H: Host<T>> Lease<T, H> {
    /// What is to be remembered of the connection when it goes back untaken.
    pub(crate) fn stay(&self) -> Stay {
        let slot = self.slot();
        Stay {
            id: slot.id(),
            tenancy: slot.tenancy(),
            uses: slot.uses(),
        }
    }
}

impl<T, H: Host<T>> Body<T, H> {
    /// Whether nobody took the connection since. What a taker does with a connection comes after
    /// its count of uses, so whatever was seen of the connection before this call says yes was none
    /// of a taker's doing.
    pub(crate) fn is_undisturbed(&self, stay: Stay) -> bool {
        let slot = &self.slots[stay.id.index()];
        // The uses first: were they a later tenant's, the tenancy read after them is, too.
        let is_same = |(tenancy, _)| tenancy == stay.tenancy;
        slot.uses() == stay.uses && slot.tenant().is_some_and(is_same)
    }

    /// Marks the connection to be retired by its next taker or at its return. `false`: it is gone,
    /// or was marked before.
    pub(crate) fn doom(&self, stay: Stay) -> bool {
        self.slots[stay.id.index()].doom(stay.tenancy)
    }
}
