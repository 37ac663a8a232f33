//! Beside: one server over its standard streams, the same once more, and another way to it, in turns within the second.
//!
//! Promise: all three run all the time, and one of them is called, for a block; a ratio is taken between blocks
//! that follow each other, in all six orders in turns, so that each runs after each other one as often, and what
//! others do on the machine meets all. The first one's twin is the control: what differs between those two is the machine's. Reported are the medians
//! over the turns, and their quarters.
//! Cost: three servers, of which two are idle.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::drive::Server;

/// What is called in turns, and how.
#[derive(Args)]
pub struct Turns {
    /// Calls in flight.
    #[arg(long, default_value = "8", value_name = "N")]
    in_flight: NonZeroUsize,
    /// How long, in all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    seconds: u64,
    /// How long a block is: shorter than what others do on the machine.
    #[arg(long, default_value_t = 100, value_name = "N")]
    block_ms: u64,
    /// The server that the other way is held against: its words as a JSON array.
    #[arg(long, value_name = "WORDS", value_parser = words)]
    direct: Words,
    /// The other way to it.
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A command with its arguments, whatever is in them.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

fn words(text: &str) -> Result<Words, String> {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(words) if !words.is_empty() => Ok(Words(words)),
        _ => Err(String::from(
            "a JSON array of words, such as '[\"node\", \"server.js\"]'",
        )),
    }
}

/// The quantiles that are compared, with their names.
const COMPARED: [(f64, &str); 2] = [(0.50, "p50"), (0.95, "p95")];

/// All orders of the three.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// What one of the three gave in all blocks.
struct Side {
    server: Server,
    times: Histogram<u64>,
    errors: u64,
}

/// Calls all, and prints the figures.
pub fn run(turns: &Turns) -> io::Result<ExitCode> {
    let Words(direct) = &turns.direct;
    let commands = [direct, direct, &turns.command];
    let mut sides = Vec::new();
    for command in commands {
        sides.push(Side::start(command)?);
    }
    let block = Duration::from_millis(turns.block_ms);
    // Half a second of calls before the clock starts.
    for side in &mut sides {
        side.server
            .play(turns.in_flight.get(), Duration::from_millis(500))?;
    }
    let (mut played, start) = (Vec::new(), Instant::now());
    while start.elapsed() < Duration::from_secs(turns.seconds) || played.len() < 2 {
        let mut round = [[0.0; COMPARED.len()]; 3];
        for at in ORDERS[played.len() % ORDERS.len()] {
            round[at] = sides[at].play(turns.in_flight.get(), block)?;
        }
        played.push(round);
    }
    let lasted = start.elapsed().as_secs_f64();
    writeln!(io::stdout(), "{}", figures(&sides, &played, lasted))?;
    for side in sides {
        side.server.end()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn figures(sides: &[Side], played: &[[[f64; COMPARED.len()]; 3]], lasted: f64) -> Value {
    let at = |side: &Side, quantile| side.times.value_at_quantile(quantile) as f64 / 1e3;
    let [direct, _, other] = sides else {
        return Value::Null;
    };
    let spent = lasted / sides.len() as f64;
    let mut found = json!({
        "requests": other.times.len(), "seconds": spent, "per_second": other.times.len() as f64 / spent,
        "p50_us": at(other, 0.50), "p95_us": at(other, 0.95), "p99_us": at(other, 0.99),
        "max_us": other.times.max() as f64 / 1e3, "errors": sides.iter().map(|side| side.errors).sum::<u64>(),
        "direct_p50_us": at(direct, 0.50), "direct_p95_us": at(direct, 0.95), "direct_p99_us": at(direct, 0.99),
        "turns": played.len(),
    });
    for (which, (_, name)) in COMPARED.iter().enumerate() {
        let ratio = |[direct, again, other]: &[[f64; COMPARED.len()]; 3]| {
            2.0 * other[which] / (direct[which] + again[which])
        };
        let control =
            |[direct, again, _]: &[[f64; COMPARED.len()]; 3]| again[which] / direct[which];
        found[format!("{name}_beside")] = json!(quarters(played.iter().map(ratio).collect()));
        found[format!("{name}_control")] = json!(quarters(played.iter().map(control).collect()));
    }
    found
}

impl Side {
    fn start(command: &[String]) -> io::Result<Self> {
        let mut server = Server::start(command)?;
        server.greet()?;
        let times = Histogram::new_with_bounds(1, 600_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Self {
            server,
            times,
            errors: 0,
        })
    }

    /// A block: its p50 and its p95.
    fn play(&mut self, in_flight: usize, block: Duration) -> io::Result<[f64; COMPARED.len()]> {
        let (times, errors) = self.server.play(in_flight, block)?;
        self.errors += errors;
        self.times.add(&times).map_err(io::Error::other)?;
        Ok(COMPARED.map(|(quantile, _)| times.value_at_quantile(quantile) as f64))
    }
}

/// Those at one, two and three quarters of the way.
fn quarters(mut numbers: Vec<f64>) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    [1, 2, 3].map(|at| {
        numbers
            .get(numbers.len() * at / 4)
            .copied()
            .unwrap_or(f64::NAN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_the_spaces_in_its_words() {
        assert_eq!(words(r#"["a b", "c'"]"#).unwrap().0, ["a b", "c'"]);
        assert!(words("a b").is_err());
        assert!(words("[]").is_err());
    }

    #[test]
    fn each_is_called_after_each_other_one_as_often() {
        for (one, other) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let pairs = ORDERS.iter().flat_map(|order| order.windows(2));
            assert_eq!(pairs.filter(|pair| **pair == [one, other]).count(), 2);
        }
    }

    #[test]
    fn a_stall_of_one_pair_does_not_move_the_median() {
        assert_eq!(quarters(vec![1.02, 40.0, 1.01, 1.03, 1.0])[1], 1.02);
    }
}
