//! The product: every factory, hook, health test, check and close, with every caller and every way
//! to release, as far as three of them misbehave at the same time.
//!
//! Pruned: sync code that never ends (it holds the thread, and nobody can bound that), and a sync
//! hook that fails (its word for that is `Discard`).

mod case;
mod story;

use crate::support::{Gate, watched};
use case::cases;

/// Plays all cases with one factory, each with a bound in real time.
fn play_all(factory: Gate) {
    watched(move |scene| {
        let mut count = 0;
        for case in cases(factory) {
            scene(format!("{case:?}"));
            story::play(&case);
            count += 1;
        }
        assert!(count > 100, "the table has cases for {factory:?}: {count}");
    });
}

macro_rules! factories {
    ($($fact:ident: $gate:ident,)*) => {
        $(
            #[test]
            fn $fact() {
                play_all(Gate::$gate);
            }
        )*
    };
}

factories! {
    a_factory_that_works_loses_nothing: Ok,
    a_slow_factory_loses_nothing: Slow,
    a_factory_that_fails_loses_nothing: Error,
    a_factory_that_fails_for_now_loses_nothing: Transient,
    a_factory_that_panics_loses_nothing: Panic,
    a_factory_that_never_ends_loses_nothing: Never,
}
