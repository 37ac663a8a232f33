//! Why there is no peer for somebody who asked the pool for one.

use crate::proxy::wire::{Code, Fault};
use crate::{AcquireError, AcquireErrorKind, AcquirePhase};

/// The fault of a pool that gave none. That all are in use is no failure of the upstream.
pub fn none_free(error: AcquireError) -> Fault {
    let code = match error.kind() {
        AcquireErrorKind::Closed => Code::Closing,
        AcquireErrorKind::TimedOut(AcquirePhase::Wait) => Code::Busy,
        _ => Code::NoChild,
    };
    let text = match code {
        Code::Busy => {
            String::from("every server process is in use, as many as there may be; try again")
        }
        Code::Closing => String::from("the proxy is shutting down; try another one or later"),
        _ => error.to_string(),
    };
    Fault::new(code, text)
}
