//! Rounds: every subject plays a case in turns.
//!
//! Promise: in each round every subject plays, each round starts with another one, and every second one goes
//! backwards, so that no subject always runs after the same neighbour. Rounds are added, within bounds, for blocks during which
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
            let at = at(round, turn, players.len());
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

/// Who plays in a turn of a round.
fn at(round: usize, turn: usize, players: usize) -> usize {
    let steps = match round % 2 {
        0 => turn,
        _ => players - turn,
    };
    (round + steps) % players
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYERS: usize = 5;

    fn order(round: usize) -> Vec<usize> {
        (0..PLAYERS).map(|turn| at(round, turn, PLAYERS)).collect()
    }

    #[test]
    fn everybody_plays_once_a_round() {
        for round in 0..2 * PLAYERS {
            let mut played = order(round);
            assert_eq!(played[0], round % PLAYERS);
            played.sort_unstable();
            assert_eq!(played, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn nobody_always_plays_after_the_same_one() {
        for player in 0..PLAYERS {
            let before = |round| {
                let order: Vec<usize> = order(round);
                let at = order.iter().position(|one| *one == player)?;
                Some(order[at.checked_sub(1)?])
            };
            let mut found: Vec<usize> = (0..2 * PLAYERS).filter_map(before).collect();
            found.sort_unstable();
            let forward = found.iter().filter(|one| **one == found[0]).count();
            assert_eq!(2 * forward, found.len(), "player {player} after {found:?}");
        }
    }
}
