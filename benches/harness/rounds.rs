//! Rounds: every subject plays a case in turns.
//!
//! Promise: in each round every subject plays, and each round starts with another one, so that no
//! subject always runs after the same neighbour. A subject whose block fails is out, with what it
//! said; the others go on.
//! Cost: rounds x subjects x block length.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Case, Entry, Outcome};

/// What one subject did in a case.
pub struct Row {
    /// The subject's name.
    pub name: &'static str,
    /// One outcome a round.
    pub outcomes: Vec<Outcome>,
    /// What its failed block said; its outcomes then count for nothing.
    pub failure: Option<String>,
}

/// Plays `rounds` rounds of blocks of `millis`, and tells `seen` of each block.
pub fn rounds(
    case: &Case,
    players: &[Entry],
    rounds: usize,
    millis: u64,
    mut seen: impl FnMut(&str, usize, &Outcome),
) -> Vec<Row> {
    let row = |player: &Entry| Row {
        name: player.name,
        outcomes: Vec::new(),
        failure: None,
    };
    let mut rows: Vec<Row> = players.iter().map(row).collect();
    for round in 0..rounds {
        for turn in 0..players.len() {
            let at = (round + turn) % players.len();
            let (player, row) = (&players[at], &mut rows[at]);
            if row.failure.is_some() {
                continue;
            }
            match catch_unwind(AssertUnwindSafe(|| (player.play)(case, millis))) {
                Ok(outcome) => {
                    seen(player.name, round, &outcome);
                    row.outcomes.push(outcome);
                }
                Err(panic) => row.failure = Some(said(&*panic)),
            }
        }
    }
    rows
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a word").to_owned()
}
