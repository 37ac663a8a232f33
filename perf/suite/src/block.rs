//! Block: the child's side of a case. Plays it and prints a line a block.
//!
//! Promise: a line is out as soon as its block ended, so that a crash loses only what was not
//! measured yet.
//! Cost: the case.

use std::io::{self, Write};

use plunge_peers::BARS;
use plunge_peers::harness::{Outcome, judge, rounds};

use crate::Failure;
use crate::arguments::BlockOptions;
use crate::plan::{case_named, players};
use crate::record::{Block, Line};

/// The percentiles that a record keeps.
const PERCENTILES: [f64; 14] = [
    0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0,
];

/// Plays one case.
pub fn run(options: &BlockOptions) -> Result<(), Failure> {
    let case = case_named(&options.case)?;
    let played = rounds(
        case,
        &players(case),
        options.rounds,
        options.millis,
        |subject, outcome| {
            tell(&Line::Block(block(case.name, subject, outcome)));
            if options.plant_crash {
                std::process::abort();
            }
        },
    );
    for row in &played.rows {
        if let Some(failure) = &row.failure {
            tell(&Line::Failed {
                case: case.name.to_owned(),
                subject: Some(row.name.to_owned()),
                message: failure.clone(),
            });
        }
    }
    for verdict in BARS.iter().flat_map(|bar| judge(bar, case, &played)) {
        let verdict = format!("{}: {verdict}", case.name);
        tell(&Line::Bar { verdict });
    }
    Ok(())
}

fn block(case: &str, subject: &str, outcome: &Outcome) -> Block {
    let at = |percentile: f64| (percentile, outcome.waits.value_at_percentile(percentile));
    Block {
        case: case.to_owned(),
        subject: subject.to_owned(),
        round: outcome.round,
        ns_per_cycle: outcome.ns_per_cycle,
        evenness: outcome.evenness,
        cores: outcome.side().name().to_owned(),
        before_ns: outcome.distance.and_then(|distance| distance.before),
        after_ns: outcome.distance.and_then(|distance| distance.after),
        kept_off: (outcome.kept_off * 1e3).round() / 1e3,
        waits: match outcome.waits.is_empty() {
            true => Vec::new(),
            false => PERCENTILES.map(at).to_vec(),
        },
    }
}

/// Prints a line for the parent; without one there is nobody to tell.
fn tell(line: &Line) {
    if let Ok(text) = serde_json::to_string(line) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}
