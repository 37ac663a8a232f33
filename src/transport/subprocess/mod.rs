//! A child process that speaks newline-delimited messages over its standard streams.
//!
//! | who                    | does                                                          |
//! |------------------------|---------------------------------------------------------------|
//! | [`Subprocess`]         | is the pooled value: its drop, anywhere, retires the child    |
//! | spawner (one thread)   | starts every child of this program                            |
//! | keeper (one thread)    | sees exits, walks retired children to their end, reaps them   |
//! | guardian (one process) | if one is named: ends the groups that are left when this program is gone |
//! | reader, writer, stderr | one small task each per child, on the runtime that spawned it |
//!
//! Promise: a child is dead at the first of: end of its output, its exit, a failed write, a line over
//! the limit, a request dropped half way. A dead child is never healthy again, its process group
//! gets the end of input, SIGTERM and SIGKILL with a grace between them, and it is reaped: no zombie,
//! no orphan, no descriptor is left, with or without a runtime.
//!
//! Cost: three pipes, one pidfd and three tasks a child; `is_healthy` is one load; a line costs no
//! copy on its way in and one on its way out. Linux only (pidfds: 5.3 and later).
//!
//! Not promised: a grandchild that moved to a process group of its own is out of reach. A program
//! that exits ends its keeper, too: it awaits [`Subprocess::settled`] before, or starts its children
//! through a launcher ([`exec_tied_to_parent`]), or else a child that outlives its input stays; what the
//! children started is ended by a guardian ([`guard_groups`]).

mod buffer;
mod child;
mod command;
mod counters;
mod death;
mod error;
mod guardian;
mod keeper;
mod launcher;
mod link;
mod log;
mod queue;
mod reader;
mod request;
mod sink;
mod spawner;
mod state;
mod stderr;
#[cfg(test)]
mod tests;

mod ward;
mod words;
mod writer;

pub use child::{Spawning, Subprocess};
pub use command::{Command, CommandError};
pub use counters::LineCounters;
pub use death::Death;
pub use error::{RequestError, SpawnError};
pub use guardian::guard_groups;
pub use launcher::exec_tied_to_parent;
pub use queue::{LineWriter, WriteError};
pub use sink::LineSink;
