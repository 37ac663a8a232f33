//! Metered: a pool with a name and a recorder that listens beside one without, in turns.
//!
//! Promise: the ratio is taken between blocks that ran next to each other; every block checks its own
//! result. Cost: half a minute; `--quick` two seconds.
//!
//! ```text
//! cargo bench --features metrics --bench metered -- [--quick] [CASE ...]
//! ```

// Plays one part of the harness; the peers and the suite play the rest.
#[allow(dead_code, unused_imports)]
mod harness;
#[path = "subjects/metered.rs"]
mod metered;
#[allow(dead_code, unused_imports)]
mod reference;
#[allow(dead_code, unused_imports)]
mod subjects;

use std::process::ExitCode;

use harness::{Bar, Measure, entry, run};
use metered::Metered;
use subjects::Ours;

const CASES: &[&str] = &["one_task", "two_workers", "64_over_8"];

#[rustfmt::skip]
const BARS: &[Bar] = &[
    Bar { case: "one_task", against: "plunge", measure: Measure::Speed, at_least: 0.95 },
    Bar { case: "two_workers", against: "plunge", measure: Measure::Speed, at_least: 0.90 },
];

fn main() -> ExitCode {
    let plays = |case: &harness::Case| CASES.contains(&case.name);
    run(&[entry::<Metered>(plays), entry::<Ours>(plays)], BARS)
}
