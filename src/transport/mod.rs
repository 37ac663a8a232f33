//! Connections that plunge knows how to make: a child process, a TCP stream, HTTP; and how a
//! lost event stream comes back.

#[cfg(feature = "http")]
pub mod http;
#[cfg(all(feature = "tcp", unix))]
mod layered;
#[cfg(feature = "sse")]
pub mod sse;
#[cfg(all(feature = "proxy", target_os = "linux"))]
mod standard;
#[cfg(all(feature = "subprocess", target_os = "linux"))]
pub mod subprocess;
#[cfg(all(feature = "tcp", unix))]
pub mod tcp;

#[cfg(all(feature = "tcp", unix))]
pub use layered::Layered;
#[cfg(all(feature = "proxy", target_os = "linux"))]
pub use standard::{StandardInput, StandardOutput};
#[cfg(all(feature = "subprocess", target_os = "linux"))]
pub use subprocess::{
    Command, CommandError, Death, LineCounters, LineSink, LineWriter, RequestError, SpawnError,
    Subprocess, WriteError, exec_tied_to_parent, guard_groups,
};
