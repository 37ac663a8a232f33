//! The agenda: when maintenance looks at idle connections next.
//!
//! Promise: at their deadlines, at once when asked, soon after one was found dead, and once a second
//! while the pool moves and has a health test or a watcher. Cost: a pass does not begin within a moment of the
//! last one, however many deaths are reported.

use std::time::Duration;

use super::shared::Body;
use super::upkeep;
use crate::sync::Arc;
use crate::time::Tick;

/// From one pass to the next where deaths call for them: a pass over 10,000 takes a millisecond.
const PAUSE: Duration = Duration::from_millis(20);

/// From one look at idle connections to the next while the pool moves.
const ROUTINE: Duration = Duration::from_secs(1);

pub(crate) struct Agenda {
    due: Tick,
    /// The end of the last pass.
    swept: Tick,
}

impl Agenda {
    /// The first pass is due at once.
    pub(crate) const fn new() -> Self {
        let start = Tick::from_millis(0);
        Self {
            due: start,
            swept: start,
        }
    }

    /// Does what is due; tells when to come again. `moved`: connections were used lately.
    pub(crate) async fn attend<T: Send + 'static>(
        &mut self,
        body: &Arc<Body<T>>,
        moved: bool,
    ) -> Tick {
        let shared = body.host();
        if moved && (shared.tests_health() || shared.watches.is_some()) {
            self.due = self.due.min(self.swept.after(ROUTINE));
        }
        if shared.maintenance.has_suspicion() {
            self.due = self.due.min(self.swept.after(PAUSE));
        }
        let (now, requested) = (shared.clock.now(), shared.maintenance.take_request());
        if requested || now >= self.due {
            // Before the pass: what is reported during it is looked into by the next one.
            shared.maintenance.clear_suspicion();
            self.due = upkeep::run(body, now).await;
            self.swept = shared.clock.now();
        } else {
            upkeep::refill(body, &shared.tuning());
        }
        self.due
    }
}
