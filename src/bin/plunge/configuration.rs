//! The configuration file: reading it, checking it, an example of it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use plunge::proxy::{Config, Upstream};

use crate::Failure;
use crate::arguments::{this_program, tied};

/// Reads a file; every mistake in it is said on standard error.
pub fn read(file: &Path, this: &Path) -> Result<Config, Failure> {
    load(file, this)?.map_err(|mistakes| {
        let mut out = io::stderr().lock();
        for mistake in mistakes {
            // With standard error closed there is nobody to tell.
            let _ = writeln!(out, "{mistake}");
        }
        Failure::Said
    })
}

/// Reads a file, or every mistake in it; children are tied to this program.
pub fn load(file: &Path, this: &Path) -> Result<Result<Config, Vec<String>>, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        Failure::Usage(format!(
            "the configuration {shown} cannot be read: {error}; `plunge config --example` prints one"
        ))
    })?;
    let mut config = match Config::parse(&text) {
        Ok(config) => config,
        Err(mistakes) => {
            let lines = mistakes.iter().map(|mistake| format!("{shown}:{mistake}"));
            return Ok(Err(lines.collect()));
        }
    };
    for upstream in &mut config.upstreams {
        if let Upstream::Stdio(command) = &upstream.options.upstream {
            upstream.options.upstream = Upstream::Stdio(tied(command.clone(), this));
        }
    }
    Ok(Ok(config))
}

/// Says whether a file could be served.
pub fn check(file: &Path) -> Result<(), Failure> {
    let config = read(file, &this_program()?)?;
    let plain = config.web.as_ref().map_or(0, |web| web.routes.len());
    let upstreams = match config.upstreams.len() + plain {
        1 => String::from("1 upstream"),
        count => format!("{count} upstreams"),
    };
    say(&format!("{}: no mistakes, {upstreams}\n", file.display()))
}

/// Prints an example.
pub fn example() -> Result<(), Failure> {
    say(Config::example())
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| Failure::Run(format!("standard output cannot be written: {error}")))
}
