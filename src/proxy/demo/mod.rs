//! A small MCP server over standard streams, to try the proxy on: `echo`, `add`, `sleep`, `counter`.

mod answer;
mod server;
mod sleeper;
#[cfg(test)]
mod tests;

pub use server::{demo_command, serve_demo};
