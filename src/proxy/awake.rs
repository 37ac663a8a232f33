//! Cores that stay awake while requests come.
//!
//! A core with nothing to do sleeps. On a virtual machine the way back takes tens of microseconds, and where few
//! requests are under way each pays that for every thread it comes to. Linux lets a process ask how long that way may
//! be, for as long as it holds a file open (PM QoS, `Documentation/power/pm_qos_interface.rst`); with 0 no core sleeps.
//!
//! Promise: asked for while requests come and for a second after the last one; given back with the proxy, however it
//! ends. Cost: while it is asked for, every core of the machine draws power as if it worked.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::front::Front;
use crate::sync::Arc;

/// Where Linux is asked.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// How often requests are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// How long cores stay awake after the last one.
const LINGER: Duration = Duration::from_secs(1);

/// Keeps the cores awake while this proxy is asked for something; where that is not allowed, the log says so and
/// nothing else changes.
pub async fn keep_awake(front: Arc<Front>) {
    let mut cores = match Cores::new(Path::new(DEVICE), front.served()) {
        Ok(cores) => cores,
        Err(error) => return refused(&error),
    };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = looks.tick().await;
        if let Err(error) = cores.look(front.served(), now) {
            return refused(&error);
        }
        front.note_awake(cores.held.is_some());
    }
}

fn refused(error: &io::Error) {
    tracing::warn!(%error, "cores sleep as ever: `keep_awake` needs leave to write to {DEVICE}, which root has");
}

/// What is asked of the cores.
struct Cores<'p> {
    device: &'p Path,
    /// Open as long as they have to be awake.
    held: Option<File>,
    /// Requests that were seen.
    served: u64,
    /// When the last ones were.
    busy: Option<Instant>,
}

impl<'p> Cores<'p> {
    /// Asks nothing yet, but tries whether it may.
    fn new(device: &'p Path, served: u64) -> io::Result<Self> {
        ask(device)?;
        Ok(Self {
            device,
            held: None,
            served,
            busy: None,
        })
    }

    /// Asks that they stay awake if there were requests lately, and no more if there were none.
    fn look(&mut self, served: u64, now: Instant) -> io::Result<()> {
        if served != self.served {
            self.served = served;
            self.busy = Some(now);
        }
        let is_busy = self.busy.is_some_and(|at| now.duration_since(at) < LINGER);
        if !is_busy {
            self.held = None;
        } else if self.held.is_none() {
            self.held = Some(ask(self.device)?);
        }
        Ok(())
    }
}

/// Asks that a core is there at once. Holds until the file is closed.
fn ask(device: &Path) -> io::Result<File> {
    let mut device = File::options().write(true).open(device)?;
    // Microseconds, as a number of the machine's own.
    device.write_all(&0_i32.to_ne_bytes())?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_kept_awake_from_the_first_request_until_a_second_after_the_last() {
        let mut cores = Cores::new(Path::new("/dev/null"), 7).expect("anybody may write there");
        let begun = Instant::now();
        let mut is_asked_for = |served, after_ms| {
            let now = begun + Duration::from_millis(after_ms);
            cores.look(served, now).expect("anybody may write there");
            cores.held.is_some()
        };
        assert!(!is_asked_for(7, 0), "no request came");
        assert!(is_asked_for(8, 100), "one came");
        assert!(is_asked_for(9, 1_000), "another one");
        assert!(is_asked_for(9, 1_900), "less than a second ago");
        assert!(!is_asked_for(9, 2_000), "a second ago");
        assert!(
            is_asked_for(3, 2_100),
            "one came, and an upstream went with its count"
        );
    }

    #[test]
    fn what_is_asked_for_is_no_time_at_all() {
        let name = format!("plunge-awake-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "").expect("a file in place of the device");
        let asked = ask(&path).map(drop);
        let said = std::fs::read(&path).expect("it is there");
        std::fs::remove_file(&path).expect("it is there");
        asked.expect("it may be written");
        assert_eq!(said, 0_i32.to_ne_bytes());
    }

    #[test]
    fn that_it_may_not_be_asked_for_is_known_before_the_first_request() {
        assert!(Cores::new(Path::new("/dev/null/nowhere"), 0).is_err());
    }
}
