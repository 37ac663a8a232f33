//! A machine of random steps against the pool: acquire, cancel, release, break, resize, evict, close,
//! panic, suspend, tune, and user code that misbehaves in every way; after each step what must always
//! hold is looked at.
//!
//! Each case is a pool on a paused clock and one thread, so a seed repeats it; one that fails is
//! made smaller before it is shown. An acquire is polled when its waker was called and at no other
//! time: a wake-up that is lost is seen.
//!
//! ```text
//! PLUNGE_MACHINE_STEPS=1000000 PLUNGE_MACHINE_SEED=7 cargo test --release --test pool machine
//! ```
//!
//! The steps are for each of the four tests of one pool; that of many keys plays a tenth of them. `scripts/storm` runs as many as one likes.

#[cfg(feature = "keyed")]
mod keys;
#[cfg(feature = "keyed")]
mod keys_truth;
mod step;
mod truth;
mod world;

use std::fmt::Debug;
use std::time::Duration;

use plunge::Fairness;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::support::watched;
use step::{Case, cases};

/// The most steps of one case: enough for anything to follow anything, few enough to be read.
const STEPS: usize = 400;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

const EVENTUAL: Fairness = Fairness::Eventual(Duration::from_millis(5));

/// Plays cases in which the line follows these rules until the steps are made.
fn run(part: u8, rules: &'static [Fairness]) {
    let steps = |case: &Case| case.steps.len();
    play(part, 1, move || cases(rules, STEPS), steps, world::play);
}

/// Plays cases until this share of the steps is made.
fn play<C: Debug, S: Strategy<Value = C>>(
    part: u8,
    share: u64,
    cases: impl FnOnce() -> S + Send + 'static,
    steps_of: impl Fn(&C) -> usize + Send + 'static,
    play: impl Fn(&C) -> Result<(), String> + Send + 'static,
) {
    let steps = setting("PLUNGE_MACHINE_STEPS", 250_000) / share;
    let seed = setting("PLUNGE_MACHINE_SEED", 1);
    watched(move |scene| {
        let mut bytes = [part; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = Config {
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, random);
        let cases = cases();
        let mut made = 0;
        while made < steps {
            scene(format!("a case after {made} steps of seed {seed}"));
            let tree = cases.new_tree(&mut runner).expect("nothing is filtered");
            made += steps_of(&tree.current()) as u64;
            let played = runner.run_one(tree, |case: C| play(&case).map_err(TestCaseError::fail));
            match played {
                Ok(_) => {}
                Err(TestError::Fail(why, case)) => {
                    let again = format!("PLUNGE_MACHINE_SEED={seed} PLUNGE_MACHINE_STEPS={steps}");
                    panic!("{why}\n{case:?}\n{again} repeats it");
                }
                Err(TestError::Abort(why)) => panic!("given up: {why}"),
            }
        }
    });
}

#[test]
fn first_come_first_served_holds_at_every_step() {
    run(1, &[Fairness::Fifo]);
}

#[test]
fn overtaking_for_a_while_holds_at_every_step() {
    run(2, &[EVENTUAL]);
}

#[test]
fn overtaking_for_ever_holds_at_every_step() {
    run(3, &[Fairness::Barging]);
}

#[test]
fn changing_the_rule_of_the_line_holds_at_every_step() {
    run(4, &[Fairness::Fifo, EVENTUAL, Fairness::Barging]);
}

#[cfg(feature = "keyed")]
#[test]
fn one_limit_for_many_keys_holds_at_every_step() {
    // A step takes ten times as long: all keys are looked at after it.
    let steps = |case: &keys::Case| case.steps.len();
    play(5, 10, || keys::cases(STEPS), steps, keys::play);
}
