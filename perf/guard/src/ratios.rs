//! Ratios: ours over a reference of this tree, in turns in one process.
//!
//! Promise: each ratio is taken between two blocks that ran next to each other, ours first and ours
//! second in turns; what is reported is the median of many. Pairs of crowds are told apart by how far
//! the cores were from each other and whether somebody else had one of them, and left out where that changed.
//! Less is better everywhere.
//! Cost: some seconds.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::blocks::{Cycle, Percentiles, play};
use crate::harness::{
    Build, Case, Distance, Outcome, QueuePair, Side, Subject, counted, median, play as crowd, throw,
};
use crate::plant::{Plant, Planted};
use crate::subjects::{OldDesign, Ours};

/// One ratio, with the time that ours took.
#[derive(Clone, Debug)]
pub struct Ratio {
    pub case: &'static str,
    /// `p50`, `p95`, or `rate` and where the cores were.
    pub measure: &'static str,
    pub value: f64,
    /// Nanoseconds a cycle: shown, never gated.
    pub ours_ns: f64,
}

/// The cases, and what each is measured against.
#[rustfmt::skip]
pub const REFERENCES: &[(&str, &str)] = &[
    ("hit", QueuePair::NAME),
    ("handoff", OldDesign::NAME),
    ("scaling", "its own on one worker"),
    ("two_workers", OldDesign::NAME),
    ("64_over_8", OldDesign::NAME),
];

/// What is held by a fence. Older lines of a baseline have others, which did not tell blocks apart that somebody else
/// had a core of.
pub const MEASURES: &[&str] = &["p50", "p95", "rate near", "rate far", "rate crowded"];

/// Pairs of blocks on one thread.
const PAIRS: usize = 60;
/// Pairs of blocks on many threads, and the length of each.
const CROWDS: usize = 15;
const CROWD_MILLIS: u64 = 60;
/// Pairs that are played at most, for each that is wanted: those during which the cores moved are not used.
const REPEATS: usize = 2;

/// Does `task` while another thread keeps a core busy, which ends with it, also where it panics.
pub fn beside_a_busy_core<R>(task: impl FnOnce() -> R) -> R {
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed: nothing is published with it.
            while busy.load(Relaxed) {
                std::hint::spin_loop();
            }
        });
        let _ends = Ends(&busy);
        task()
    })
}

/// Ends the busy thread when it goes, since the scope waits for that.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Measures one case.
#[inline(never)]
pub fn measure(case: &str) -> Vec<Ratio> {
    match case {
        "hit" => alone("hit", Cycle::Hit, Ours::build, QueuePair::build),
        "handoff" => alone("handoff", Cycle::Handoff, Ours::build, OldDesign::build),
        "scaling" => rates(
            "scaling",
            "two_workers",
            Ours::build,
            "one_worker",
            Ours::build,
        ),
        "two_workers" => beside_old_design("two_workers"),
        "64_over_8" => beside_old_design("64_over_8"),
        _ => Vec::new(),
    }
}

/// Measures the hit with something planted in it.
#[inline(never)]
pub fn measure_planted(plant: Plant) -> Vec<Ratio> {
    let hit = Cycle::Hit;
    match plant {
        Plant::Lock => alone("hit", hit, Planted::<1>::build, QueuePair::build),
        Plant::Clock => alone("hit", hit, Planted::<2>::build, QueuePair::build),
        Plant::Tail => alone("hit", hit, Planted::<3>::build, QueuePair::build),
        _ => alone("hit", hit, Planted::<0>::build, QueuePair::build),
    }
}

fn alone<S: Subject, R: Subject>(
    case: &'static str,
    cycle: Cycle,
    ours: impl Fn(usize) -> S,
    reference: impl Fn(usize) -> R,
) -> Vec<Ratio> {
    let mut pairs: Vec<(Percentiles, Percentiles)> = Vec::new();
    for pair in 0..PAIRS {
        pairs.push(match pair % 2 {
            0 => (play(cycle, &ours), play(cycle, &reference)),
            _ => {
                let theirs = play(cycle, &reference);
                (play(cycle, &ours), theirs)
            }
        });
    }
    let ratio = |measure, of: fn(&Percentiles) -> f64| Ratio {
        case,
        measure,
        value: median(pairs.iter().map(|(a, b)| of(a) / of(b)).collect()),
        ours_ns: median(pairs.iter().map(|(a, _)| of(a)).collect()),
    };
    vec![
        ratio("p50", |times| times.p50),
        ratio("p95", |times| times.p95),
    ]
}

#[inline(never)]
fn beside_old_design(case: &'static str) -> Vec<Ratio> {
    rates(case, case, Ours::build, case, OldDesign::build)
}

/// One ratio for each side that the cores were on: a crowd's is another where they are far apart.
fn rates<S: Subject, R: Subject>(
    name: &'static str,
    of: &str,
    ours: impl Fn(usize) -> S,
    beside: &str,
    theirs: impl Fn(usize) -> R,
) -> Vec<Ratio> {
    let (Some(of), Some(beside)) = (Case::named(of), Case::named(beside)) else {
        return Vec::new();
    };
    let ours = || crowd(of, CROWD_MILLIS, &ours);
    let theirs = || crowd(beside, CROWD_MILLIS, &theirs);
    let mut pairs = Vec::new();
    let mut even = 0;
    while even < CROWDS && pairs.len() < CROWDS * REPEATS {
        let pair = pair(ours, theirs, pairs.len() % 2 == 0);
        even += usize::from(pair.side != Side::Mixed);
        pairs.push(pair);
    }
    // Pairs during which the cores moved crowd out no other ones.
    let usable = pairs.iter().map(|pair| pair.side);
    let sides = counted(usable.filter(|side| *side != Side::Mixed));
    let of_side = |(side, _)| {
        let pairs = || pairs.iter().filter(move |pair| pair.side == side);
        Some(Ratio {
            case: name,
            measure: rate_on(side)?,
            value: median(pairs().map(|pair| pair.ours / pair.theirs).collect()),
            ours_ns: median(pairs().map(|pair| pair.ours).collect()),
        })
    };
    sides.into_iter().filter_map(of_side).collect()
}

/// The name of a rate's measure; none for pairs during which the cores moved.
fn rate_on(side: Side) -> Option<&'static str> {
    match side {
        Side::Near => Some("rate near"),
        Side::Far => Some("rate far"),
        Side::Crowded => Some("rate crowded"),
        Side::Mixed | Side::Any => None,
    }
}

/// A block of each, and where the cores were meanwhile.
struct Pair {
    ours: f64,
    theirs: f64,
    side: Side,
}

fn pair(ours: impl Fn() -> Outcome, theirs: impl Fn() -> Outcome, ours_first: bool) -> Pair {
    let before = throw();
    let (ours, between, theirs) = match ours_first {
        true => (ours(), throw(), theirs()),
        false => {
            let (theirs, between) = (theirs(), throw());
            (ours(), between, theirs)
        }
    };
    let after = throw();
    let (first, second) = match ours_first {
        true => (&ours, &theirs),
        false => (&theirs, &ours),
    };
    let sides = [(first, before, between), (second, between, after)];
    let sides =
        sides.map(|(outcome, before, after)| outcome.side_between(Distance { before, after }));
    // One worker may have its core for itself where two have not.
    let side = match sides.contains(&Side::Crowded) {
        true => Side::Crowded,
        false => Side::of_all(sides),
    };
    Pair {
        ours: ours.ns_per_cycle,
        theirs: theirs.ns_per_cycle,
        side,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_beside_a_busy_core_leaves_nothing_running() {
        let ended = std::panic::catch_unwind(|| beside_a_busy_core(|| panic!("as a case may")));
        assert!(ended.is_err());
    }
}
