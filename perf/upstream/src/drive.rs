//! Drive: calls of an MCP server over its standard streams, nothing between.
//!
//! Promise: so many calls are in flight at any time; a time runs from the call's line to its
//! answer's. One thread, so that the client takes as little of the machine as it can. What it prints
//! has the shape of what the wrk scripts print, with what the server's process took beside.
//! Cost: the server's process.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::json;

/// What is driven, and how.
#[derive(Args)]
pub struct Load {
    /// Calls in flight.
    #[arg(long, default_value = "32", value_name = "N")]
    in_flight: NonZeroUsize,
    /// How long.
    #[arg(long, default_value_t = 5, value_name = "N")]
    seconds: u64,
    /// The server.
    #[arg(trailing_var_arg = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// What of an answer is looked at.
#[derive(Deserialize)]
struct Answer {
    id: Option<usize>,
    error: Option<serde::de::IgnoredAny>,
}

/// The two ends of the server's streams.
pub struct Server {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Calls, and prints the figures.
pub fn run(load: &Load) -> io::Result<ExitCode> {
    let mut server = Server::start(&load.command)?;
    server.greet()?;
    // Half a second of calls before the clock starts.
    server.play(load.in_flight.get(), Duration::from_millis(500))?;
    let start = Instant::now();
    let (times, errors) = server.play(load.in_flight.get(), Duration::from_secs(load.seconds))?;
    let seconds = start.elapsed().as_secs_f64();
    let (most, children) = (most_kib(server.child.id()), children(server.child.id()));
    server.end()?;
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    writeln!(
        io::stdout(),
        "{}",
        json!({
            "requests": times.len(), "seconds": seconds, "per_second": times.len() as f64 / seconds,
            "p50_us": at(0.50), "p95_us": at(0.95), "p99_us": at(0.99), "max_us": times.max() as f64 / 1e3,
            "errors": errors, "rss_most_kib": most, "children_most": children,
        })
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The most memory that a process had so far, in KiB; 0 where the system does not say.
fn most_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// How many processes it started and has; 0 where the system does not say.
fn children(process: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let files = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let texts = files.flat_map(fs::read_to_string);
    texts.map(|text| text.split_whitespace().count()).sum()
}

impl Server {
    pub fn start(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("no command was given"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("{program} cannot be started: {error}")))?;
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or_else(|| io::Error::other("the server has no streams"))?;
        Ok(Self {
            child,
            input: BufWriter::new(input),
            output: BufReader::new(output),
        })
    }

    /// The handshake.
    pub fn greet(&mut self) -> io::Result<()> {
        self.input.write_all(
            br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"drive","version":"1"}}}"#,
        )?;
        self.input.write_all(b"\n")?;
        self.input.flush()?;
        while self.hear()?.id != Some(0) {}
        self.input
            .write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")
    }

    /// Keeps calls in flight for so long; then takes the answers that are still to come.
    pub fn play(&mut self, in_flight: usize, lasts: Duration) -> io::Result<(Histogram<u64>, u64)> {
        let bounds = Histogram::new_with_bounds(1, 600_000_000_000, 3);
        let mut times = bounds.map_err(io::Error::other)?;
        let mut errors = 0;
        let mut asked = vec![Instant::now(); in_flight];
        let start = Instant::now();
        for (id, time) in asked.iter_mut().enumerate() {
            *time = Instant::now();
            self.call(id)?;
        }
        let mut under_way = in_flight;
        while under_way > 0 {
            if self.output.buffer().is_empty() {
                self.input.flush()?;
            }
            let Answer {
                id: Some(id),
                error,
            } = self.hear()?
            else {
                continue;
            };
            let Some(time) = asked.get_mut(id) else {
                continue;
            };
            times.saturating_record(time.elapsed().as_nanos() as u64);
            errors += u64::from(error.is_some());
            if start.elapsed() < lasts {
                *time = Instant::now();
                self.call(id)?;
            } else {
                under_way -= 1;
            }
        }
        Ok((times, errors))
    }

    /// Closes its input and waits for its end.
    pub fn end(mut self) -> io::Result<()> {
        drop(self.input);
        self.child.wait().map(drop)
    }

    fn call(&mut self, id: usize) -> io::Result<()> {
        writeln!(
            self.input,
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"message":"hello hello hello"}}}}}}"#
        )
    }

    fn hear(&mut self) -> io::Result<Answer> {
        let mut line = Vec::new();
        if self.output.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::other("the server ended before the run did"));
        }
        Ok(serde_json::from_slice(&line).unwrap_or(Answer {
            id: None,
            error: None,
        }))
    }
}
