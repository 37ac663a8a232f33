//! The reverse proxy for MCP: clients over HTTP in front, pooled child processes or an MCP server over
//! HTTP behind; and [`forward()`],
//! the same for one client over standard input and output.
//!
//! [`Server::start`] runs one from [`ServeOptions`]; dropping it, or [`Server::shutdown`], ends every
//! child, task and descriptor it had.

mod admin;
mod awake;
mod backend;
mod call;
mod config;
mod demo;
mod endpoint;
mod forward;
mod front;
mod guard;
mod http;
mod leased;
mod listen;
mod live;
mod options;
mod peer;
pub mod plain;
mod remote;
mod seed;
mod server;
mod session;
mod shared;
mod state;
mod takeover;
mod tasks;
mod watching;
mod wire;

pub use config::{AccessLog, Config, FileWatch, LogOptions, Mistake, UpstreamConfig, parse_time};
pub use demo::{demo_command, serve_demo};
pub use forward::{ForwardError, forward, forward_until};
pub use front::Reloaded;
pub use options::{HttpUpstream, Mode, RouteMatch, ServeOptions, Upstream};
pub use server::{Server, ShutdownReport, StartError};
