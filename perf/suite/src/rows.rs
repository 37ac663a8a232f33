//! Rows: the blocks of a case by subject, and by where the cores were.
//!
//! Promise: medians over rounds with their spread; ratios are taken inside each round, between
//! neighbours during which the cores were equally far apart. A subject that broke a case's check is in no
//! row of that case.
//! Cost: none while anything is measured.

use std::collections::BTreeMap;

use plunge_peers::harness::{Side, counted, median};
use plunge_peers::roster;

use crate::record::{Block, Line};

/// The subject that ratios refer to.
pub const OURS: &str = "plunge";

/// One subject in one case.
pub struct Row<'a> {
    pub subject: &'a str,
    pub blocks: Vec<&'a Block>,
}

impl Row<'_> {
    /// The median time of a cycle, with the fastest and the slowest, in nanoseconds.
    pub fn time(&self) -> (f64, f64, f64) {
        let times = || self.blocks.iter().map(|block| block.ns_per_cycle);
        let least = times().fold(f64::INFINITY, f64::min);
        (
            median(times().collect()),
            least,
            times().fold(0.0, f64::max),
        )
    }

    /// Each percentile's median over rounds, in microseconds.
    pub fn waits(&self) -> Vec<(f64, f64)> {
        let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (percentile, nanos) in self.blocks.iter().flat_map(|block| &block.waits) {
            let key = (percentile * 100.0).round() as u64;
            at.entry(key).or_default().push(*nanos as f64 / 1e3);
        }
        at.into_iter()
            .map(|(key, waits)| (key as f64 / 100.0, median(waits)))
            .collect()
    }

    /// The median wait at one percentile, in microseconds.
    pub fn wait(&self, percentile: f64) -> Option<f64> {
        let waits = self.waits();
        let found = waits.iter().find(|(at, _)| (at - percentile).abs() < 0.001);
        found.map(|(_, wait)| *wait)
    }

    /// The median over rounds of the slowest task's cycles over the fastest's.
    pub fn evenness(&self) -> f64 {
        median(self.blocks.iter().map(|block| block.evenness).collect())
    }

    /// How many times less time it needs a cycle than `other`, round by round.
    pub fn speed_over(&self, other: &Row<'_>) -> f64 {
        let ratio = |mine: &&Block| {
            let theirs = other
                .blocks
                .iter()
                .find(|block| block.round == mine.round)?;
            Some(theirs.ns_per_cycle / mine.ns_per_cycle)
        };
        median(self.blocks.iter().filter_map(ratio).collect())
    }
}

/// The blocks of a case that were played on one side.
pub struct Part<'a> {
    pub side: Side,
    /// How many of them are ours.
    pub blocks: usize,
    pub rows: Vec<Row<'a>>,
}

impl<'a> Part<'a> {
    /// The row of a subject, if it played here.
    pub fn row(&self, subject: &str) -> Option<&Row<'a>> {
        self.rows.iter().find(|row| row.subject == subject)
    }
}

/// A case's blocks by side, and how many were left out because the cores moved or were shared.
pub struct Parts<'a> {
    /// The side with most blocks first; empty where the case was not played.
    pub parts: Vec<Part<'a>>,
    pub left_out: usize,
    pub blocks: usize,
}

/// Takes a case's blocks apart.
pub fn parts<'a>(lines: &'a [Line], case: &str) -> Parts<'a> {
    let failed = lines.iter().filter_map(|line| match line {
        Line::Failed {
            case: of, subject, ..
        } if of == case => subject.as_deref(),
        _ => None,
    });
    let failed: Vec<&str> = failed.collect();
    let blocks = lines.iter().filter_map(|line| match line {
        Line::Block(block) if block.case == case => Some(block),
        _ => None,
    });
    let blocks = blocks.filter(|block| !failed.contains(&block.subject.as_str()));
    let blocks: Vec<&Block> = blocks.collect();
    let side = |block: &Block| Side::named(&block.cores);
    // The first to play is ours, in any case that it plays.
    let first = blocks.first().map(|block| block.subject.as_str());
    let firsts = blocks
        .iter()
        .filter(|block| Some(block.subject.as_str()) == first);
    let part = |(at, count): (Side, usize)| Part {
        side: at,
        blocks: count,
        rows: by_subject(blocks.iter().copied().filter(|block| side(block) == at)),
    };
    let parts = counted(firsts.map(|block| side(block)))
        .into_iter()
        .map(part);
    let parts: Vec<Part<'a>> = parts.collect();
    let rows = parts.iter().flat_map(|part| &part.rows);
    let kept: usize = rows.map(|row| row.blocks.len()).sum();
    Parts {
        parts,
        left_out: blocks.len() - kept,
        blocks: blocks.len(),
    }
}

/// What two workers make of what one makes, ours, for each side that the cores were on: of two cases, minutes apart.
/// The guard's `scaling` has both in turns.
pub fn scaling(lines: &[Line]) -> Vec<String> {
    let rate = |part: &Part<'_>| part.row(OURS).map(|row| 1e3 / row.time().0);
    let one = parts(lines, "one_worker").parts;
    let Some(one) = one.first().and_then(rate) else {
        return Vec::new();
    };
    let two = parts(lines, "two_workers").parts;
    let line = |part: &Part<'_>| {
        let both = rate(part)?;
        Some(format!(
            "{OURS}, two workers over one (of two cases), cores {} in {} blocks: {:.2}x ({both:.0} of {one:.0} M/s)",
            part.side.name(),
            part.blocks,
            both / one
        ))
    };
    two.iter().filter_map(line).collect()
}

fn by_subject<'a>(blocks: impl Iterator<Item = &'a Block>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for block in blocks {
        match rows.iter_mut().find(|row| row.subject == block.subject) {
            Some(row) => row.blocks.push(block),
            None => rows.push(Row {
                subject: &block.subject,
                blocks: vec![block],
            }),
        }
    }
    let names: Vec<&str> = roster().iter().map(|entry| entry.name).collect();
    rows.sort_by_key(|row| names.iter().position(|name| *name == row.subject));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(subject: &str, round: usize, ns_per_cycle: f64, cores: &str) -> Line {
        Line::Block(Block {
            case: String::from("64_over_8"),
            subject: subject.to_owned(),
            round,
            ns_per_cycle,
            evenness: 1.0,
            cores: cores.to_owned(),
            before_ns: None,
            after_ns: None,
            kept_off: 0.0,
            waits: Vec::new(),
        })
    }

    #[test]
    fn a_ratio_is_taken_between_blocks_of_one_side() {
        let lines = [
            block(OURS, 0, 100.0, "near"),
            block("deadpool", 0, 150.0, "near"),
            block(OURS, 1, 100.0, "near"),
            block("deadpool", 1, 900.0, "far"),
        ];
        let found = parts(&lines, "64_over_8");
        assert_eq!((found.left_out, found.blocks, found.parts.len()), (1, 4, 1));
        let rows = &found.parts[0].rows;
        assert_eq!(rows[0].speed_over(&rows[1]), 1.5);
    }

    #[test]
    fn a_subject_that_broke_the_check_is_in_no_row() {
        let lines = [
            block(OURS, 0, 100.0, "near"),
            block("deadpool", 0, 150.0, "near"),
            Line::Failed {
                case: String::from("64_over_8"),
                subject: Some(String::from("deadpool")),
                message: String::from("lost one"),
            },
        ];
        let found = parts(&lines, "64_over_8");
        let names: Vec<&str> = found.parts[0].rows.iter().map(|row| row.subject).collect();
        assert_eq!(names, [OURS]);
    }

    #[test]
    fn near_and_far_are_never_in_one_median() {
        let near = (0..4).map(|round| block(OURS, round, 100.0, "near"));
        let far = (4..7).map(|round| block(OURS, round, 400.0, "far"));
        let lines: Vec<Line> = near.chain(far).collect();
        let found = parts(&lines, "64_over_8");
        let seen = found
            .parts
            .iter()
            .map(|part| (part.side, part.rows[0].time().0));
        let seen: Vec<_> = seen.collect();
        assert_eq!(seen, [(Side::Near, 100.0), (Side::Far, 400.0)]);
    }

    #[test]
    fn a_record_that_says_nothing_of_the_cores_is_whole() {
        let lines = [block(OURS, 0, 100.0, ""), block(OURS, 1, 100.0, "")];
        let found = parts(&lines, "64_over_8");
        assert_eq!((found.parts[0].side, found.parts[0].blocks), (Side::Any, 2));
    }
}
