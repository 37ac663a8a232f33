//! Connections that plunge knows how to make: a child process, later sockets.

#[cfg(all(feature = "subprocess", target_os = "linux"))]
pub mod subprocess;

#[cfg(all(feature = "subprocess", target_os = "linux"))]
pub use subprocess::{
    Command, CommandError, Death, LineCounters, LineSink, LineWriter, RequestError, SpawnError,
    Subprocess, WriteError, exec_tied_to_parent,
};
