//! The `plunge` command: arguments and exit codes.
//!
//! Exit codes: 0 served and ended in order, 1 could not start or serve, 2 the arguments or the configuration are wrong.

mod arguments;
mod configuration;
mod forward;
mod log;
mod reloads;
mod serve;
mod signals;
mod start;
mod web;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use plunge::proxy::serve_demo;
use plunge::transport::{exec_tied_to_parent, guard_groups};

use arguments::{Cli, Serve, Task};

/// Gives back what was unused for ten seconds, also while nothing happens: the C library's keeps what the busiest
/// moment took. The library sets no allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What ends the command, with its exit code.
enum Failure {
    /// The arguments are wrong: 2.
    Usage(String),
    /// So is the configuration, and each mistake was said: 2.
    Said,
    /// It cannot start or serve: 1.
    Run(String),
}

fn main() -> ExitCode {
    // Before anything else: a thread or a descriptor of this program is not the child's.
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first
        .as_ref()
        .is_some_and(|first| first == arguments::LAUNCH)
    {
        let error = exec_tied_to_parent(args);
        return end(127, &format!("the child cannot be started: {error}"));
    }
    if first.is_some_and(|first| first == arguments::GUARD) {
        let ended = guard_groups(io::stdin().lock());
        return ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let ended = match Cli::parse().task {
        None => serve::run(&Serve::default()),
        Some(Task::Serve(serve)) => serve::run(&serve),
        Some(Task::Forward(forward)) => forward::run(&forward),
        Some(Task::Check { file }) => configuration::check(&file),
        Some(Task::Config { .. }) => configuration::example(),
        Some(Task::DemoServer) => serve_demo(io::stdin().lock(), io::stdout())
            .map_err(|error| Failure::Run(error.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Run(text)) => end(1, &text),
        Err(Failure::Usage(text)) => end(2, &text),
        Err(Failure::Said) => ExitCode::from(2),
    }
}

fn end(code: u8, text: &str) -> ExitCode {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "plunge: {text}");
    ExitCode::from(code)
}
