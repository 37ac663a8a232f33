//! Why there is no peer for somebody who asked the pool for one.

use crate::proxy::wire::{Code, Fault};
use crate::{AcquireError, AcquireErrorKind, AcquirePhase};

/// The fault of a pool that gave none. That all are in use is no failure of the upstream.
pub fn none_free(error: AcquireError) -> Fault {
    match error.kind() {
        AcquireErrorKind::Closed => Fault::closing(),
        AcquireErrorKind::TimedOut(AcquirePhase::Wait) => {
            let text = "every server process is in use, as many as there may be; try again";
            Fault::new(Code::Busy, text)
        }
        _ => Fault::new(Code::NoChild, error.to_string()),
    }
}
