//! Rounds: every subject plays a case in turns.
//!
//! Promise: in each round every subject plays, and each round starts with another one, so that no
//! subject always runs after the same neighbour. Rounds are added, within bounds, for blocks during which
//! the cores moved. A subject whose block fails is out, with what it said; the others go on.
//! Cost: rounds x subjects x block length; twice that where the cores move all the time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::distance::{Distance, throw};
use super::played::Played;
use super::{Case, Entry, Outcome};

/// Rounds that are played at most, for each that is wanted.
const REPEATS: usize = 2;

/// Plays `wanted` rounds of blocks of `millis`, and tells `seen` of each block.
pub fn rounds(
    case: &Case,
    players: &[Entry],
    wanted: usize,
    millis: u64,
    mut seen: impl FnMut(&str, &Outcome),
) -> Played {
    let mut played = Played::new(players);
    let asks = case.feels_distance();
    let mut before = asks.then(throw);
    let mut round = 0;
    while played.pairs() < wanted && round < wanted * REPEATS {
        for turn in 0..players.len() {
            let at = (round + turn) % players.len();
            let (player, row) = (&players[at], &mut played.rows[at]);
            if row.failure.is_some() {
                continue;
            }
            let ended = catch_unwind(AssertUnwindSafe(|| (player.play)(case, millis)));
            let after = asks.then(throw);
            match ended {
                Ok(outcome) => {
                    let both = before.zip(after);
                    let distance = both.map(|(before, after)| Distance { before, after });
                    let outcome = Outcome {
                        round,
                        distance,
                        ..outcome
                    };
                    seen(player.name, &outcome);
                    row.outcomes.push(outcome);
                }
                Err(panic) => row.failure = Some(said(&*panic)),
            }
            before = after;
        }
        round += 1;
    }
    played
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a word").to_owned()
}
