//! The configuration file: what it says, what is wrong with it, and an example of it.

#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod config;
mod file_watch;
mod mistake;
mod program;
mod read;
mod section;
#[cfg(test)]
mod tests;
mod times;
mod upstream;
mod web;

pub use config::{AccessLog, Config, LogOptions, UpstreamConfig};
pub use file_watch::FileWatch;
pub use mistake::Mistake;
pub use times::parse_time;
