//! Upstream: the far ends of load runs, scripted, and a client that goes without a proxy.
//!
//! Promise: each is faster than what is measured with it, or as slow as it was told to be.
//! Cost: a process each.
//!
//! ```text
//! plunge-upstream stdio [--delay-ms 20] [--burst-ms 50] [--die-after 500]
//! plunge-upstream echo --listen 127.0.0.1:8900 [--close] [--delay-ms 20] [--die-after 5000]
//! plunge-upstream plain --listen 127.0.0.1:8901 [--body-bytes 128]
//! plunge-upstream drive --in-flight 32 --seconds 5 -- CMD ARGS
//! plunge-upstream beside --in-flight 8 --seconds 20 --direct 'CMD ARGS' -- OTHER ARGS
//! ```
//!
//! Exit codes: 0 ended in order, 1 could not run, 2 the arguments are wrong, 3 died as it was told to.

mod answer;
mod beside;
mod drive;
mod echo;
mod plain;
mod stdio;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The far ends of load runs.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Be an MCP server over standard streams.
    Stdio(stdio::Script),
    /// Be an HTTP server that answers each request with the answer an MCP server would give.
    Echo(echo::Script),
    /// Be an HTTP server that gives every request the same small answer.
    Plain {
        /// Where clients connect; port 0 picks a free one.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// How long the body of the answer is.
        #[arg(long, value_name = "N", default_value_t = 128)]
        body_bytes: usize,
    },
    /// Call an MCP server over standard streams, nothing between, and print figures as JSON.
    Drive(drive::Load),
    /// The same of two servers in turns, and how the second compares with the first.
    Beside(beside::Turns),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Task::Stdio(script) => stdio::serve(&script),
        Task::Echo(script) => echo::serve(&script),
        Task::Plain { listen, body_bytes } => plain::serve(listen, body_bytes),
        Task::Drive(load) => drive::run(&load),
        Task::Beside(turns) => beside::run(&turns),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plunge-upstream: {error}");
            ExitCode::from(1)
        }
    }
}
