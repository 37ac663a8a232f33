//! Beside: one server over its standard streams, and another one, in turns within the second.
//!
//! Promise: both run all the time, and one of them is called, for a block; a ratio is taken between two
//! blocks that follow each other, each of the two first in turns, so that what others do on the machine
//! meets both. Reported are the medians over the pairs.
//! Cost: two servers, of which one is idle.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::drive::Server;

/// What is called in turns, and how.
#[derive(Args)]
pub struct Turns {
    /// Calls in flight.
    #[arg(long, default_value_t = 8, value_name = "N")]
    in_flight: usize,
    /// How long, in all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    seconds: u64,
    /// How long a block is.
    #[arg(long, default_value_t = 500, value_name = "N")]
    block_ms: u64,
    /// The server that the other one is held against, as one argument of words.
    #[arg(long, value_name = "CMD")]
    direct: String,
    /// The other one.
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// What one side gave in all blocks.
struct Side {
    server: Server,
    times: Histogram<u64>,
    errors: u64,
}

/// Calls both, and prints the figures.
pub fn run(turns: &Turns) -> io::Result<ExitCode> {
    let words: Vec<String> = turns.direct.split_whitespace().map(str::to_owned).collect();
    let mut sides = [Side::start(&words)?, Side::start(&turns.command)?];
    let block = Duration::from_millis(turns.block_ms);
    for side in &mut sides {
        side.server.play(turns.in_flight, block)?;
    }
    let mut ratios: [Vec<f64>; 2] = Default::default();
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < Duration::from_secs(turns.seconds) || turn < 2 {
        let first = turn % 2;
        let mut played = [[0.0; 2]; 2];
        for at in [first, 1 - first] {
            played[at] = sides[at].play(turns.in_flight, block)?;
        }
        for (of, ratios) in ratios.iter_mut().enumerate() {
            ratios.push(played[1][of] / played[0][of]);
        }
        turn += 1;
    }
    let [p50, p95] = ratios.map(median);
    let [direct, other] = &sides;
    let at = |side: &Side, quantile| side.times.value_at_quantile(quantile) as f64 / 1e3;
    let spent = start.elapsed().as_secs_f64() / 2.0;
    println!(
        "{}",
        json!({
            "requests": other.times.len(), "seconds": spent, "per_second": other.times.len() as f64 / spent,
            "p50_us": at(other, 0.50), "p95_us": at(other, 0.95), "p99_us": at(other, 0.99),
            "max_us": other.times.max() as f64 / 1e3, "errors": direct.errors + other.errors,
            "direct_p50_us": at(direct, 0.50), "direct_p95_us": at(direct, 0.95), "direct_p99_us": at(direct, 0.99),
            "pairs": turn, "p50_beside": p50, "p95_beside": p95,
        })
    );
    for side in sides {
        side.server.end()?;
    }
    Ok(ExitCode::SUCCESS)
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
    fn play(&mut self, in_flight: usize, block: Duration) -> io::Result<[f64; 2]> {
        let (times, errors) = self.server.play(in_flight, block)?;
        self.errors += errors;
        self.times.add(&times).map_err(io::Error::other)?;
        Ok([0.50, 0.95].map(|quantile| times.value_at_quantile(quantile) as f64))
    }
}

/// The one in the middle, the upper one of two.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_of_one_pair_does_not_move_the_median() {
        assert_eq!(median(vec![1.02, 40.0, 1.01, 1.03, 1.0]), 1.02);
    }
}
