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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::super::tests::{fly, router};
    use super::*;

    /// How often a sweep looks.
    const BEAT: Duration = Duration::from_millis(50);

    /// Looks at it for so long, beat by beat; tells whether it was given up meanwhile.
    async fn looked_at(pulse: &Pulse, router: &ChildRouter, seconds: u64) -> bool {
        let mut is_given_up = false;
        for _ in 0..seconds * 20 {
            advance(BEAT).await;
            is_given_up |= pulse.look(router, Instant::now());
        }
        is_given_up
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_says_nothing_is_given_up_once_after_two_questions() {
        let (pulse, router) = (Pulse::new(ProbeOptions::default()), router());
        assert!(!looked_at(&pulse, &router, 19).await);
        router.heard.sign();
        assert!(!looked_at(&pulse, &router, 19).await, "it said something");
        assert!(!pulse.has_stopped());
        assert!(looked_at(&pulse, &router, 2).await);
        assert!(pulse.has_stopped());
        assert!(!looked_at(&pulse, &router, 60).await, "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_looked_condemns_no_child() {
        let (pulse, router) = (Pulse::new(ProbeOptions::default()), router());
        for _ in 0..50 {
            advance(Duration::from_secs(3600)).await;
            assert!(
                !pulse.look(&router, Instant::now()),
                "the proxy did not run"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_has_a_request_is_not_asked() {
        let (pulse, router) = (Pulse::new(ProbeOptions::default()), router());
        let (_, _call) = fly(&router, "1", 1);
        assert!(!looked_at(&pulse, &router, 60).await);
    }
}
