//! The pulse of a child: it is asked for a sign of life when it is silent, and given up when it stays so.
//!
//! Promise: that of the probe, which charges no time in which the proxy itself did not run. Cost: a short lock a look.

use tokio::time::Instant;

use super::router::ChildRouter;
use crate::resilience::{HealthProbe, ProbeOptions, ProbeStep};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// What is known of it.
#[derive(Debug)]
pub struct Pulse {
    probe: Mutex<HealthProbe>,
    stopped: AtomicBool,
}

impl Pulse {
    /// That of a child which has just said something.
    pub fn new(options: ProbeOptions) -> Self {
        Self {
            probe: Mutex::new(HealthProbe::new(options, Instant::now())),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether the child was given up.
    pub fn has_stopped(&self) -> bool {
        // Relaxed: who sees it late finds the table of requests closed, or waits as for any child that hangs.
        self.stopped.load(Ordering::Relaxed)
    }

    /// Notes that a call timed out: it is asked at the next look.
    pub fn timed_out(&self) {
        self.probe.lock().timed_out();
    }

    /// Asks a silent child for a sign of life. `true`: there was none, and it is given up now.
    pub fn look(&self, router: &ChildRouter, now: Instant) -> bool {
        let mut probe = self.probe.lock();
        if router.heard.lately() {
            probe.heard();
        }
        let step = probe.look(router.flights.len() > 0, now);
        drop(probe);
        match step {
            ProbeStep::Wait => false,
            ProbeStep::Ask => {
                // A full queue is a miss of its own.
                router.ask();
                false
            }
            // Relaxed: see `has_stopped`.
            ProbeStep::GiveUp => !self.stopped.swap(true, Ordering::Relaxed),
        }
    }
}
