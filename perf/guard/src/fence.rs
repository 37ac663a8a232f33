//! Fence: how far a ratio may be from its own history.
//!
//! Promise: a pure function of the recorded values. On one thread the fence stands five robust
//! deviations above the median, and never so near that the noise of a machine is taken for a change.
//! The rate of two workers has its own history for each side that the cores are on, and one for blocks that
//! somebody else had a core of; its reference is thrown about there by luck, so its fence stands above the highest
//! of the newest values.
//! A history on one thread begins where the case last became faster or slower for good: what it once took is no
//! excuse for taking it again.
//! Cost: none.

use crate::harness::median;

/// Fewer values than this are no history.
pub const LEAST_HISTORY: usize = 5;
/// A robust deviation of normal noise is this many median distances.
const SIGMA: f64 = 1.4826;
/// Robust deviations between the median and the fence.
const DEVIATIONS: f64 = 5.0;
/// Values of a rate that its fence is made of: what it was before them is no excuse for being it again.
pub const NEWEST: usize = 20;
/// How far the fence of a rate stands above the highest of its history; where a core was not its own, how much of
/// it others took is in it, too.
const ABOVE_HIGHEST: f64 = 0.15;
const ABOVE_CROWDED: f64 = 0.3;

/// Where a case's values may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fence {
    pub middle: f64,
    pub limit: f64,
}

impl Fence {
    /// The rise of what is usual that is beyond it: the least regression that fails.
    pub fn catches(self) -> f64 {
        self.limit / self.middle - 1.0
    }
}

/// The fence of a measure with this history; none if there is too little of it.
pub fn fence(measure: &str, history: &[f64]) -> Option<Fence> {
    if history.len() < LEAST_HISTORY {
        return None;
    }
    let middle = median(history.to_vec());
    if let Some(above) = above_highest(measure) {
        let highest = history.iter().copied().fold(middle, f64::max);
        let limit = highest * (1.0 + above);
        return Some(Fence { middle, limit });
    }
    let distances = history.iter().map(|value| (value - middle).abs());
    let deviation = SIGMA * median(distances.collect());
    let (least, most) = width(measure);
    let width = (DEVIATIONS * deviation / middle).clamp(least, most);
    Some(Fence {
        middle,
        limit: middle * (1.0 + width),
    })
}

/// What a fence is made of, of all values since the newest level began, oldest first.
pub fn newest<'a>(measure: &str, values: &'a [f64]) -> &'a [f64] {
    let least = values.len().saturating_sub(NEWEST);
    match above_highest(measure) {
        Some(_) => &values[least..],
        None => values,
    }
}

/// Where the newest level begins among sittings, oldest first: the first of the last ones whose medians
/// lie about the newest's. Older ones are in it until there is a history at all. A rate has no levels, only a
/// number of newest values: between two sittings the old design's moves threefold with how its callers happen to meet.
pub fn level(measure: &str, sittings: &[&[f64]]) -> usize {
    let newest = match sittings.last() {
        Some(values) if !values.is_empty() && above_highest(measure).is_none() => {
            median(values.to_vec())
        }
        _ => return 0,
    };
    let step = width(measure).1;
    let mut known = 0;
    let mut begin = sittings.len();
    for values in sittings.iter().rev() {
        let moved = !values.is_empty() && (median(values.to_vec()) / newest - 1.0).abs() > step;
        if moved && known >= LEAST_HISTORY {
            break;
        }
        known += values.len();
        begin -= 1;
    }
    begin
}

/// How far above its highest a rate's fence stands; none for what one thread does.
fn above_highest(measure: &str) -> Option<f64> {
    match measure {
        "rate crowded" => Some(ABOVE_CROWDED),
        "rate near" | "rate far" => Some(ABOVE_HIGHEST),
        _ => None,
    }
}

/// The narrowest and the widest fence of a measure, as a part of its median. The widest is what a
/// planted regression must still exceed.
fn width(measure: &str) -> (f64, f64) {
    match measure {
        "p50" => (0.08, 0.15),
        _ => (0.10, 0.17),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_history_is_no_fence() {
        assert_eq!(fence("p50", &[1.0; LEAST_HISTORY - 1]), None);
    }

    #[test]
    fn a_history_without_noise_keeps_the_narrowest_fence() {
        let fence = fence("p50", &[2.0; LEAST_HISTORY]).unwrap();
        assert_eq!(fence.middle, 2.0);
        assert!((fence.limit - 2.16).abs() < 1e-9);
    }

    #[test]
    fn one_outlier_does_not_move_the_fence() {
        let calm = fence("p95", &[1.0, 1.0, 1.01, 0.99, 1.0]).unwrap();
        let wild = fence("p95", &[1.0, 1.0, 1.01, 0.99, 9.0]).unwrap();
        assert!((calm.limit - wild.limit).abs() < 0.07);
    }

    #[test]
    fn a_history_begins_where_the_case_last_became_faster() {
        let (slow, fast) = ([0.43; 9], [0.32; 9]);
        let sittings: [&[f64]; 4] = [&slow, &slow, &fast, &fast];
        assert_eq!(level("p50", &sittings), 2);
        assert_eq!(level("p50", &sittings[..2]), 0);
    }

    #[test]
    fn a_sitting_too_short_to_be_a_history_has_the_one_before_with_it() {
        let sittings: [&[f64]; 3] = [&[0.43; 9], &[0.43; 9], &[0.32; 3]];
        assert_eq!(level("p50", &sittings), 1);
        assert_eq!(level("p50", &[]), 0);
    }

    #[test]
    fn a_rate_has_no_levels() {
        let (loaded, calm) = ([0.04; 9], [0.012; 9]);
        assert_eq!(level("rate near", &[&loaded, &calm]), 0);
    }

    #[test]
    fn a_rate_forgets_what_it_was_before_its_newest_values() {
        let history = [[0.05; 5].as_slice(), &[0.02; NEWEST]].concat();
        assert_eq!(newest("rate crowded", &history), [0.02; NEWEST]);
        assert_eq!(newest("p50", &history), history);
        assert_eq!(newest("rate near", &history[..3]), [0.05; 3]);
    }

    #[test]
    fn a_rate_may_be_as_bad_as_it_ever_was_and_somewhat_worse() {
        let history = [0.02, 0.02, 0.05, 0.05, 0.02];
        let limit = |measure| fence(measure, &history).unwrap().limit;
        assert!((limit("rate near") - 0.0575).abs() < 1e-9);
        assert!((limit("rate crowded") - 0.065).abs() < 1e-9);
    }

    #[test]
    fn a_fence_says_what_it_catches() {
        let fence = fence("p50", &[2.0; LEAST_HISTORY]).unwrap();
        assert!((fence.catches() - 0.08).abs() < 1e-9);
    }

    #[test]
    fn a_fifth_more_at_p95_is_always_beyond_the_fence() {
        let noisy = [0.8, 1.0, 1.2, 0.7, 1.3, 1.0];
        assert!(fence("p95", &noisy).unwrap().limit < 1.2);
    }
}
