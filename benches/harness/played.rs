//! Played: the rounds of a case, told apart by where the cores were.
//!
//! Promise: what is compared was played on one side; how many rounds were not is said.
//! Cost: none while a case runs.

use super::{Entry, Outcome, Side};

/// What one subject did in a case.
#[derive(Clone)]
pub struct Row {
    /// The subject's name.
    pub name: &'static str,
    /// One outcome a round.
    pub outcomes: Vec<Outcome>,
    /// What its failed block said; its outcomes then count for nothing.
    pub failure: Option<String>,
}

/// All rounds of a case.
pub struct Played {
    /// The subjects, in the order of the roster.
    pub rows: Vec<Row>,
    /// Where the cores were in each round.
    pub sides: Vec<Side>,
}

/// The rounds of one side.
pub struct Group {
    /// Where the cores were.
    pub side: Side,
    /// How many rounds.
    pub rounds: usize,
    /// The subjects, with these rounds alone.
    pub rows: Vec<Row>,
}

/// Fewer rounds than this are no group beside a larger one.
const LEAST: usize = 3;

impl Played {
    pub(super) fn new(players: &[Entry]) -> Self {
        let row = |player: &Entry| Row {
            name: player.name,
            outcomes: Vec::new(),
            failure: None,
        };
        Self {
            rows: players.iter().map(row).collect(),
            sides: Vec::new(),
        }
    }

    /// Ends a round; returns where the cores were during all of it.
    pub(super) fn end_round(&mut self) -> Side {
        let whole = self.rows.iter().filter(|row| row.failure.is_none());
        let last = whole.filter_map(|row| row.outcomes.last());
        let side = Side::of_all(last.map(Outcome::side));
        self.sides.push(side);
        side
    }

    /// The rounds by their side, the side with most of them first. Mixed ones are dropped, unless there
    /// are no others.
    pub fn groups(&self) -> Vec<Group> {
        let sides = counted(self.sides.iter().copied());
        let group = |(side, rounds): &(Side, usize)| Group {
            side: *side,
            rounds: *rounds,
            rows: self.rows.iter().map(|row| self.on(*side, row)).collect(),
        };
        sides.iter().map(group).collect()
    }

    /// How many rounds are in no group because the cores moved meanwhile.
    pub fn mixed(&self) -> usize {
        let sides = self.sides.iter();
        sides.filter(|side| **side == Side::Mixed).count()
    }

    fn on(&self, side: Side, row: &Row) -> Row {
        let outcomes = row.outcomes.iter().zip(&self.sides);
        let kept = outcomes.filter(|(_, at)| **at == side);
        Row {
            name: row.name,
            outcomes: kept.map(|(outcome, _)| outcome.clone()).collect(),
            failure: row.failure.clone(),
        }
    }
}

/// Sides with enough rounds to be compared, and how many each has, most first.
pub fn counted(sides: impl Iterator<Item = Side> + Clone) -> Vec<(Side, usize)> {
    let all = [Side::Any, Side::Near, Side::Far, Side::Crowded];
    let count = |side: Side| sides.clone().filter(|at| *at == side).count();
    let mut counted: Vec<_> = all.into_iter().map(|side| (side, count(side))).collect();
    counted.sort_by_key(|(_, rounds)| std::cmp::Reverse(*rounds));
    counted.retain(|(_, rounds)| *rounds > 0);
    let first = counted.first().copied();
    counted.retain(|one| one.1 >= LEAST || Some(*one) == first);
    match counted.is_empty() {
        true => vec![(Side::Mixed, sides.count())],
        false => counted,
    }
}
