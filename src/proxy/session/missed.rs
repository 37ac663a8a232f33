//! Changes of lists that may have been missed, and when that is told: each client then reads all of them again.
//!
//! Promise: the first time is told at once, what comes soon after it together, and nothing is lost.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::wire::Changes;

/// How long nothing is told after something was. A server that ends its streams does so each minute, say.
const PAUSE: Duration = Duration::from_secs(300);

/// Those that are still to be told of.
#[derive(Default)]
pub struct Missed {
    lists: Changes,
    told: Option<Instant>,
}

impl Missed {
    /// Adds some.
    pub fn add(&mut self, lists: Changes) {
        self.lists |= lists;
    }

    /// Takes those that are to be told of now.
    pub fn take_due(&mut self, now: Instant) -> Changes {
        let is_early = |told: Instant| now.duration_since(told) < PAUSE;
        if self.lists.is_empty() || self.told.is_some_and(is_early) {
            return Changes::default();
        }
        self.told = Some(now);
        mem::take(&mut self.lists)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(list: &str) -> Changes {
        Changes::of(&format!("notifications/{list}/list_changed"))
    }

    #[test]
    fn what_was_missed_is_told_at_once_and_then_together_and_nothing_is_lost() {
        let (mut missed, begun) = (Missed::default(), Instant::now());
        assert!(missed.take_due(begun).is_empty(), "nothing was");
        let (tools, prompts) = (change("tools"), change("prompts"));
        missed.add(tools);
        assert_eq!(missed.take_due(begun), tools);
        for seconds in [60, 120, 180] {
            missed.add(if seconds == 120 { prompts } else { tools });
            let told = missed.take_due(begun + Duration::from_secs(seconds));
            assert!(told.is_empty(), "{seconds}");
        }
        assert_eq!(missed.take_due(begun + PAUSE), tools | prompts);
        assert!(missed.take_due(begun + 3 * PAUSE).is_empty());
        missed.add(prompts);
        assert_eq!(missed.take_due(begun + 3 * PAUSE), prompts, "long after");
    }
}
