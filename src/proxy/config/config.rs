//! Everything that a configuration file says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Mistake;
use super::read;
use crate::proxy::options::{RouteMatch, ServeOptions};
use crate::proxy::plain::GatewayOptions;

/// What a file says: where to listen, what to log, and the upstreams.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
    /// How long a shutdown may take.
    pub drain: Duration,
    /// How long `/readyz` says that the end comes before it begins, and everything is served as before.
    pub drain_delay: Duration,
    /// Whether another process may listen on the same address, to take over from this one.
    pub reuse_port: bool,
    /// Whether the cores of this machine stay awake while requests come: they are served sooner, for more power.
    pub keep_awake: bool,
    /// What is written of requests and events.
    pub log: LogOptions,
    /// The upstreams that speak MCP, in the order of the file.
    pub upstreams: Vec<UpstreamConfig>,
    /// Plain HTTP and its upstreams, if there are any. On the address of MCP, both are served there.
    pub web: Option<GatewayOptions>,
    /// Whether plain HTTP has an address of its own though it looks the same: port 0, which is another each time.
    pub web_apart: bool,
}

/// What is written of requests and events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogOptions {
    /// The least severe events that are written; `RUST_LOG` goes before it.
    pub level: String,
    /// Where a line for each request goes.
    pub access: AccessLog,
}

/// Where a line for each request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output.
    Stdout,
    /// To standard error.
    Stderr,
    /// To the end of this file.
    File(PathBuf),
}

/// One upstream and the requests that go to it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// Its name, as logs and pages show it.
    pub name: String,
    /// Which requests go to it.
    pub route: RouteMatch,
    /// What it is and what it is held to.
    pub options: ServeOptions,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// Every mistake in it, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        read::config(text)
    }

    /// A commented configuration with every key, which is itself valid.
    pub fn example() -> &'static str {
        include_str!("example.toml")
    }

    /// One upstream, as flags name it.
    pub fn single(options: ServeOptions) -> Self {
        Self {
            listen: options.listen,
            admin: options.admin,
            drain: DRAIN,
            drain_delay: Duration::ZERO,
            reuse_port: false,
            keep_awake: false,
            log: LogOptions::default(),
            upstreams: vec![UpstreamConfig {
                name: String::from("mcp"),
                route: RouteMatch::default(),
                options,
            }],
            web: None,
            web_apart: false,
        }
    }

    /// Plain HTTP and nothing else, as flags name it.
    pub fn plain(web: GatewayOptions, admin: SocketAddr) -> Self {
        Self {
            listen: web.listen,
            admin,
            drain: DRAIN,
            drain_delay: Duration::ZERO,
            reuse_port: false,
            keep_awake: false,
            log: LogOptions::default(),
            upstreams: Vec::new(),
            web: Some(web),
            web_apart: false,
        }
    }

    /// Refuses values that contradict each other.
    pub(in crate::proxy) fn check(&self) -> Result<(), String> {
        let mut upstreams = self.upstreams.iter();
        upstreams.try_for_each(|upstream| upstream.options.check())?;
        self.web.as_ref().map_or(Ok(()), GatewayOptions::check)
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            level: String::from("warn"),
            access: AccessLog::Off,
        }
    }
}

/// How long a shutdown may take, unless it was set.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
