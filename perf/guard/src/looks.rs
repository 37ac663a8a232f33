//! Looks: ratios held against their fences, and looked at again where they are beyond.
//!
//! Promise: a ratio fails if it was beyond its fence in every look at it, and in three at least, so that a
//! neighbour who comes and goes fails nothing. A case that panics takes nothing from the others, and one that gave no
//! ratio in any look is said not to be measured.
//! Cost: some seconds a case, and the pauses where something stays beyond its fence.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::baseline::Baseline;
use crate::fence::{Fence, LEAST_HISTORY, fence};
use crate::harness::Place;
use crate::ratios::{REFERENCES, Ratio};
use crate::rise::change;
use crate::say;

/// Looks in which a ratio must have been beyond its fence to be believed.
pub const BELIEVED: usize = 3;

/// What was seen of a ratio so far.
struct Known {
    case: &'static str,
    name: String,
    /// How often it was beyond its fence.
    beyond: usize,
    /// Whether it was ever within.
    is_clear: bool,
    /// What to say of it.
    text: String,
}

/// What the ratios gave.
#[derive(Default)]
pub struct Beyond {
    /// What stayed beyond its fence.
    pub rose: Vec<String>,
    /// What could not be measured.
    pub failed: Vec<String>,
}

/// Looks at these cases by `measure`, after each of the pauses (in seconds) at those that were beyond
/// their fences in all looks so far. Gives what was beyond in each of its looks, and in three at least: a
/// crowd is not always measured on the side where it was beyond.
pub fn look(
    cases: &[&str],
    pauses: &[u64],
    measure: impl Fn(&str) -> Vec<Ratio>,
    baseline: &Baseline,
    place: &Place,
) -> Beyond {
    let references = REFERENCES.iter();
    let mut left: Vec<_> = references
        .filter(|(case, _)| cases.contains(case))
        .collect();
    let (mut known, mut failed): (Vec<Known>, Vec<String>) = (Vec::new(), Vec::new());
    let mut unmeasured: Vec<&str> = Vec::new();
    for pause in pauses {
        if *pause > 0 {
            say!("  measured again, {pause} s later, what is beyond its fence or gave nothing");
            thread::sleep(Duration::from_secs(*pause));
        }
        for (case, reference) in &left {
            let Ok(ratios) = catch_unwind(AssertUnwindSafe(|| measure(case))) else {
                failed.push(format!("{case}: it panicked: see above"));
                continue;
            };
            unmeasured.retain(|without| without != case);
            if ratios.is_empty() {
                say!("  {case}: the cores moved during all of its pairs: not measured");
                unmeasured.push(case);
            }
            for seen in hold(&ratios, reference, baseline, place) {
                take_down(&mut known, case, seen);
            }
        }
        let is_open = |case: &str| known.iter().any(|one| one.case == case && !one.is_clear);
        left.retain(|(case, _)| is_open(case) || unmeasured.contains(case));
        if left.is_empty() {
            break;
        }
    }
    // One that gave a ratio in another look was measured.
    unmeasured.retain(|case| known.iter().all(|one| one.case != *case));
    failed.extend(unmeasured.iter().map(|case| {
        format!("{case}: the cores moved during all of its pairs, in every look: run `check {case}` again")
    }));
    let believed = known.into_iter();
    let believed = believed.filter(|one| !one.is_clear && one.beyond >= BELIEVED);
    Beyond {
        rose: believed.map(|one| one.text).collect(),
        failed,
    }
}

fn take_down(known: &mut Vec<Known>, case: &'static str, seen: Seen) {
    let at = known.iter().position(|one| one.name == seen.name);
    let at = at.unwrap_or_else(|| {
        known.push(Known {
            case,
            name: seen.name,
            beyond: 0,
            is_clear: false,
            text: String::new(),
        });
        known.len() - 1
    });
    match seen.beyond {
        Some(text) => (known[at].beyond, known[at].text) = (known[at].beyond + 1, text),
        None => known[at].is_clear = true,
    }
}

/// What was seen of one ratio.
struct Seen {
    /// The case and the measure.
    name: String,
    /// What to say if it is beyond its fence.
    beyond: Option<String>,
}

/// Holds ratios against their fences; those without one are shown and nothing is returned of them.
fn hold(ratios: &[Ratio], reference: &str, baseline: &Baseline, place: &Place) -> Vec<Seen> {
    let mut seen = Vec::new();
    for ratio in ratios {
        let history = baseline.history(ratio.case, ratio.measure, place);
        let name = format!("{} {}", ratio.case, ratio.measure);
        let Some(Fence { middle, limit }) = fence(ratio.measure, &history) else {
            say!(
                "  {name}: {:.3} of {reference} ({:.1} ns a cycle): {} recorded on this kind of processor, \
                 {LEAST_HISTORY} needed: not gated",
                ratio.value,
                ratio.ours_ns,
                history.len()
            );
            continue;
        };
        say!(
            "  {name}: {:.3} of {reference} (median {middle:.3}, fence {limit:.3}; {:.1} ns a cycle)",
            ratio.value,
            ratio.ours_ns
        );
        let beyond = (ratio.value > limit).then(|| {
            format!(
                "{name}: {:.3} of {reference}, {} over the median of {} recorded runs, last at {}; the fence \
                 is {limit:.3}: `cargo run --release -p guard -- explain {}` shows its history, `scripts/bench` \
                 measures beside the floors",
                ratio.value,
                change(ratio.value, middle),
                history.len(),
                baseline.last_commit(ratio.case, ratio.measure),
                ratio.case
            )
        });
        seen.push(Seen { name, beyond });
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_gives_no_ratio_is_said_not_to_be_measured() {
        let folder = std::env::temp_dir().join("no-baselines-here");
        let Ok(baseline) = Baseline::read(Some(&folder)) else {
            panic!("what is not there is empty");
        };
        let beyond = look(
            &["two_workers"],
            &[0, 0],
            |_| Vec::new(),
            &baseline,
            &Place::here(),
        );
        assert_eq!(beyond.failed.len(), 1);
        assert!(beyond.rose.is_empty());
    }
}
