//! The pool under load, with everything that users, callers and runtimes do to it, at random.
//!
//! Sized by the machine: as many threads as it has cores. The long one is ignored by default, and
//! `scripts/storm` plays the other at length. Each round is a pool of its own, so that rounds end, and a waiter that was
//! forgotten has nobody to wake it by chance.
//!
//! ```text
//! PLUNGE_STRESS_SECONDS=300 cargo test --release --test stress -- --ignored --nocapture
//! ```
//!
//! `PLUNGE_STRESS_SEED` repeats the choices of a run, not its interleavings.

mod dice;
mod hooks;
#[cfg(feature = "keyed")]
mod keys;
mod round;
mod shop;
mod storm;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dice::Dice;
use round::{Round, Tally};
use storm::{Dropped, Storm};

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
        let told = format!("{round:?}");
        total.add(&watched(told, move || round.play()));
        rounds += 1;
    }
    println!("{rounds} rounds from seed {seed}: {total:?}");
    assert!(total.acquired > 0, "somebody was served");
}

/// Acquires that a storm of its own drops.
const GUST: u64 = 10_000;

#[test]
fn nothing_is_lost_by_acquires_that_are_dropped_anywhere() {
    let wanted = setting("PLUNGE_STORM_CANCELS", 20_000);
    let seed = setting("PLUNGE_STORM_SEED", u64::from(std::process::id()));
    let mut dice = Dice::new(seed);
    let dropped = Arc::new(Dropped::default());
    // Each of several settings gets its share of a small storm.
    let gust = GUST.min(wanted.div_ceil(8));
    while dropped.waiting.load(SeqCst) < wanted {
        let (storm, dropped) = (Storm::roll(&mut dice), Arc::clone(&dropped));
        watched(format!("{storm:?}"), move || storm.play(gust, &dropped));
    }
    println!("seed {seed}: {dropped:?}");
    let places = [&dropped.unpolled, &dropped.told, &dropped.looking];
    assert!(places.iter().all(|place| place.load(SeqCst) > 0));
    assert!(dropped.served.load(SeqCst) > 0, "somebody was served");
}

/// The same over many keys with one limit for all of them.
#[cfg(feature = "keyed")]
#[test]
fn nothing_is_lost_by_acquires_of_many_keys_that_are_given_up_anywhere() {
    let wanted = setting("PLUNGE_KEYS_CANCELS", 20_000);
    let seed = setting("PLUNGE_STORM_SEED", u64::from(std::process::id()));
    let mut dice = Dice::new(seed);
    let dropped = Arc::new(Dropped::default());
    let keyed = Arc::new(keys::Tally::default());
    let gust = GUST.min(wanted.div_ceil(8));
    while dropped.waiting.load(SeqCst) < wanted {
        let storm = keys::Storm::roll(&mut dice);
        let (told, dropped) = (format!("{storm:?}"), Arc::clone(&dropped));
        let keyed = Arc::clone(&keyed);
        watched(told, move || storm.play(gust, &dropped, &keyed));
    }
    println!("seed {seed}: {dropped:?}, {keyed:?}");
    assert!(dropped.served.load(SeqCst) > 0, "somebody was served");
    assert!(keyed.evicted.load(SeqCst) > 0, "keys made room for others");
}

/// Plays something on a thread of its own; if it hangs, that is reported with its settings.
fn watched<R: Send + 'static>(told: String, play: impl FnOnce() -> R + Send + 'static) -> R {
    let (result, heard) = channel();
    let player = std::thread::spawn(move || {
        let _ = result.send(play());
    });
    match heard.recv_timeout(PATIENCE) {
        Ok(result) => {
            player.join().expect("played");
            result
        }
        Err(RecvTimeoutError::Timeout) => panic!("hangs: {told}"),
        Err(RecvTimeoutError::Disconnected) => panic!("failed: {told}"),
    }
}
