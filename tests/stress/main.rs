//! The pool under load, with everything that users, callers and runtimes do to it, at random.
//!
//! Ignored by default. Sized by the machine: as many threads as it has cores, twice as many tasks
//! as that by eight. Each round is a pool of its own, so that rounds end, and a waiter that was
//! forgotten has nobody to wake it by chance.
//!
//! ```text
//! PLUNGE_STRESS_SECONDS=300 cargo test --release --test stress -- --ignored --nocapture
//! ```
//!
//! `PLUNGE_STRESS_SEED` repeats the choices of a run, not its interleavings.

mod dice;
mod round;
mod shop;
mod worker;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dice::Dice;
use round::{Round, Tally};

/// A round takes a fraction of a second; one that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(90);

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

#[test]
#[ignore = "load: runs for seconds on every core"]
fn nothing_is_lost_under_load() {
    let end = Instant::now() + Duration::from_secs(setting("PLUNGE_STRESS_SECONDS", 10));
    let seed = setting("PLUNGE_STRESS_SEED", u64::from(std::process::id()));
    let mut dice = Dice::new(seed);
    let (mut rounds, mut total) = (0, Tally::default());
    while rounds == 0 || Instant::now() < end {
        let round = Round::roll(&mut dice);
        total.add(&watched(round));
        rounds += 1;
    }
    println!("{rounds} rounds from seed {seed}: {total:?}");
    assert!(total.acquired > 0, "somebody was served");
}

/// Plays a round on a thread of its own; one that hangs is reported with its settings.
fn watched(round: Round) -> Tally {
    let told = format!("{round:?}");
    let (tally, heard) = channel();
    let player = std::thread::spawn(move || {
        let _ = tally.send(round.play());
    });
    match heard.recv_timeout(PATIENCE) {
        Ok(tally) => {
            player.join().expect("played");
            tally
        }
        Err(RecvTimeoutError::Timeout) => panic!("hangs: {told}"),
        Err(RecvTimeoutError::Disconnected) => panic!("failed: {told}"),
    }
}
