//! The time of day, for lines that people read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970; zero on a machine whose clock is set before.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
