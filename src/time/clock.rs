//! The clock of one pool. It follows tokio's, so a paused runtime pauses the pool.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::PerProcess;

use super::Tick;

/// Milliseconds of real time since the first call: for what has to be seen although a runtime, and
/// with it its clock, stands still.
pub(crate) fn uptime_millis() -> u64 {
    static START: PerProcess<std::time::Instant> = PerProcess::new(std::time::Instant::now);
    let elapsed = START.get().elapsed().as_millis();
    u64::try_from(elapsed).unwrap_or(u64::MAX)
}

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
        self.tick(Instant::now())
    }

    /// The tick of an instant.
    pub(crate) fn tick(&self, instant: Instant) -> Tick {
        // In 64 bits: every wait in line asks.
        let elapsed = instant.saturating_duration_since(self.origin);
        let millis = elapsed.as_secs().saturating_mul(1_000);
        Tick::from_millis(millis.saturating_add(u64::from(elapsed.subsec_millis())))
    }

    /// The instant of a tick; `None` where it is out of range.
    pub(crate) fn instant(&self, tick: Tick) -> Option<Instant> {
        if tick == Tick::NEVER {
            return None;
        }
        self.origin
            .checked_add(Duration::from_millis(tick.as_millis()))
    }
}
