//! Played: the blocks of a case, told apart by where the cores were.
//!
//! Promise: a ratio is taken between two blocks of a round that were played on the same side; how many
//! blocks were on neither is said.
//! Cost: none while a case runs.

use super::{Entry, Outcome, Side};

/// What one subject did in a case.
pub struct Row {
    /// The subject's name.
    pub name: &'static str,
    /// One outcome a round.
    pub outcomes: Vec<Outcome>,
    /// What its failed block said; its outcomes then count for nothing.
    pub failure: Option<String>,
}

/// All blocks of a case.
pub struct Played {
    /// The subjects, in the order of the roster.
    pub rows: Vec<Row>,
}

/// The blocks of one side.
pub struct Group {
    /// Where the cores were.
    pub side: Side,
    /// How many blocks the first subject has there.
    pub blocks: usize,
    /// The subjects, with these blocks alone.
    pub rows: Vec<Row>,
}

/// Fewer blocks than this are no group beside a larger one.
pub(super) const LEAST: usize = 3;

impl Played {
    pub(super) fn new(players: &[Entry]) -> Self {
        let row = |player: &Entry| Row {
            name: player.name,
            outcomes: Vec::new(),
            failure: None,
        };
        Self {
            rows: players.iter().map(row).collect(),
        }
    }

    /// In how many rounds each subject was on the side of the first one, at least.
    pub(super) fn pairs(&self) -> usize {
        let whole = || self.rows.iter().filter(|row| row.failure.is_none());
        let Some(first) = whole().next() else {
            return 0;
        };
        let pairs = |row: &Row| {
            let pairs = first.outcomes.iter().zip(&row.outcomes);
            let even =
                |(a, b): &(&Outcome, &Outcome)| a.side() == b.side() && a.side() != Side::Mixed;
            pairs.filter(even).count()
        };
        whole().map(pairs).min().unwrap_or(0)
    }

    /// The blocks by their side, the side with most of them first.
    pub fn groups(&self) -> Vec<Group> {
        let first = self.rows.iter().find(|row| row.failure.is_none());
        let sides = first.map(|row| row.outcomes.iter().map(Outcome::side));
        let sides = sides.map(counted).unwrap_or_default();
        let group = |(side, blocks): (Side, usize)| Group {
            side,
            blocks,
            rows: self.rows.iter().map(|row| row.on(side)).collect(),
        };
        sides.into_iter().map(group).collect()
    }

    /// How many blocks there are, and how many of them are in no group.
    pub fn left_out(&self) -> (usize, usize) {
        let count = |rows: &[Row]| rows.iter().map(|row| row.outcomes.len()).sum::<usize>();
        let all = count(&self.rows);
        let grouped: usize = self.groups().iter().map(|group| count(&group.rows)).sum();
        (all, all - grouped)
    }
}

impl Row {
    fn on(&self, side: Side) -> Self {
        let outcomes = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.side() == side);
        Self {
            name: self.name,
            outcomes: outcomes.cloned().collect(),
            failure: self.failure.clone(),
        }
    }
}

/// The sides that are compared, of those that there are, and how many blocks each has, most first: not
/// those with hardly any, and those among strangers' work, or during which the cores moved, only where
/// there is nothing better.
pub fn counted(sides: impl Iterator<Item = Side> + Clone) -> Vec<(Side, usize)> {
    let count = |side: Side| (side, sides.clone().filter(|at| *at == side).count());
    let calm = [Side::Any, Side::Near, Side::Far].map(count);
    let mut calm: Vec<_> = calm.into_iter().filter(|(_, blocks)| *blocks > 0).collect();
    calm.sort_by_key(|(_, blocks)| std::cmp::Reverse(*blocks));
    let most = calm.first().map_or(0, |(_, blocks)| *blocks);
    calm.retain(|(_, blocks)| *blocks >= LEAST.min(most));
    let others = [Side::Crowded, Side::Mixed].map(count);
    let other = others.into_iter().max_by_key(|(_, blocks)| *blocks);
    match other {
        Some(other) if most < LEAST && other.1 > most => vec![other],
        _ => calm,
    }
}
