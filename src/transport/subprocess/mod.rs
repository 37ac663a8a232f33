//! A child process that speaks newline-delimited messages over its standard streams.

mod command;
mod counters;
mod death;
mod error;
mod sink;
mod subprocess;
mod writer;

pub use command::{Command, CommandError};
pub use counters::LineCounters;
pub use death::Death;
pub use error::{RequestError, SpawnError};
pub use sink::LineSink;
pub use subprocess::Subprocess;
pub use writer::{LineWriter, WriteError};
