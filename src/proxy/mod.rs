//! The reverse proxy for MCP: clients over HTTP in front, pooled child processes or an MCP server over
//! HTTP behind; and [`forward()`],
//! the same for one client over standard input and output.
//!
//! [`Server::start`] runs one from [`ServeOptions`]; dropping it, or [`Server::shutdown`], ends every
//! child, task and descriptor it had.

mod admin;
mod backend;
mod call;
mod demo;
mod endpoint;
mod forward;
mod guard;
mod http;
mod leased;
mod listen;
mod options;
mod peer;
pub mod plain;
mod remote;
mod server;
mod session;
mod shared;
mod state;
mod stats;
mod tasks;
mod wire;

pub use demo::{demo_command, serve_demo};
pub use forward::{ForwardError, forward};
pub use options::{HttpUpstream, Mode, ServeOptions, Upstream};
pub use server::{Server, ShutdownReport, StartError};
