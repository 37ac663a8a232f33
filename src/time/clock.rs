//! The clock of one pool. It follows tokio's, so a paused runtime pauses the pool.

use tokio::time::Instant;

use super::Tick;

/// Turns instants into ticks and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Reads the system clock: not for the hit path.
    pub(crate) fn now(&self) -> Tick {
        let millis = self.origin.elapsed().as_millis();
        Tick::from_millis(u64::try_from(millis).unwrap_or(u64::MAX - 1))
    }
}
