//! Laps: what the time of a run went to, part by part.
//!
//! Promise: building is told apart from measuring, so that a run that had its programs to build is not taken for
//! a slow one.
//! Cost: a look at the clock a part.

use std::time::{Duration, Instant};

/// A run under way, and its parts so far.
pub struct Laps {
    started: Instant,
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Laps {
    /// Begins the first part.
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: now,
            parts: Vec::new(),
        }
    }

    /// Ends a part; the next one begins.
    pub fn lap(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now - self.last));
        self.last = now;
    }

    /// How long it has run, without its parts of this name.
    pub fn gone_without(&self, part: &str) -> Duration {
        let parts = self.parts.iter().filter(|(name, _)| *name == part);
        self.started.elapsed() - parts.map(|(_, time)| *time).sum::<Duration>()
    }

    /// All parts that took a second or more.
    pub fn line(&self) -> String {
        let parts = self.parts.iter().filter(|(_, time)| time.as_secs() > 0);
        let parts: Vec<String> = parts
            .map(|(name, time)| format!("{name} {}", clock(*time)))
            .collect();
        parts.join(", ")
    }
}

/// Minutes and seconds.
pub fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_no_second_is_not_spoken_of() {
        let laps = Laps {
            parts: vec![
                ("building", Duration::from_secs(62)),
                ("cases", Duration::from_millis(900)),
                ("heap", Duration::from_secs(3)),
            ],
            ..Laps::start()
        };
        assert_eq!(laps.line(), "building 1:02, heap 0:03");
    }
}
