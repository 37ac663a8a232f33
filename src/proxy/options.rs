//! What a proxy is started with.

use hyper::header::{HeaderName, HeaderValue};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::resilience::{BreakerOptions, ProbeOptions, Timeouts};
use crate::transport::Command;
use crate::transport::http::{HttpTarget, TargetError};
use crate::transport::sse::ReconnectOptions;
use crate::{PoolOptions, PoolableResource};

/// How children are shared.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One child for each client session; fits any server.
    Session,
    /// A handshaken child for each request, returned after it; for servers without state that do one
    /// thing at a time.
    Exclusive,
    /// Few children for everybody, many requests in flight on each; for servers without state.
    Shared,
    /// As [`Shared`](Self::Shared), for servers of the revision without sessions: what a client carries
    /// back leads to the child that made it.
    Stateless,
    /// A child for each request, which answers it and exits; for programs without a handshake.
    Oneshot,
}

impl Mode {
    /// As it is written on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Stateless => "stateless",
            Self::Oneshot => "oneshot",
        }
    }
}

/// Where requests go.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Upstream {
    /// Children of this command, spoken to over their standard streams.
    Stdio(Command),
    /// An MCP server over HTTP.
    Http(HttpUpstream),
}

/// An MCP server over HTTP, of either era.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct HttpUpstream {
    /// Its endpoint.
    pub target: HttpTarget,
    /// Headers that go with every request, such as a token.
    pub headers: Vec<(String, String)>,
    /// When a stream that was lost comes back.
    pub reconnect: ReconnectOptions,
}

impl HttpUpstream {
    /// The server with this endpoint.
    ///
    /// # Errors
    ///
    /// [`TargetError`] says what to write instead.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        Ok(Self {
            target: HttpTarget::parse(url)?,
            headers: Vec::new(),
            reconnect: ReconnectOptions::default(),
        })
    }

    fn check(&self, mode: Mode) -> Result<(), String> {
        if mode == Mode::Oneshot {
            let text = "mode oneshot is for programs that answer once: name one, or another mode";
            return Err(String::from(text));
        }
        self.check_headers()
    }

    /// Refuses headers that cannot be sent.
    pub(super) fn check_headers(&self) -> Result<(), String> {
        for (name, value) in &self.headers {
            HeaderName::try_from(name)
                .map_err(|_| format!("`{name}` is no name of a header: write NAME: VALUE"))?;
            HeaderValue::try_from(value)
                .map_err(|_| format!("the value of header `{name}` cannot be sent"))?;
        }
        Ok(())
    }

    /// Adds a header that goes with every request.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Which requests go to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// The host that they name, without port and in lower case; any, if there is none.
    pub host: Option<String>,
    /// Their path.
    pub path: String,
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self {
            host: None,
            path: String::from("/mcp"),
        }
    }
}

impl RouteMatch {
    /// A path as requests are held against it, without a slash at its end; `None`: it is no path.
    pub(super) fn trimmed(path: &str) -> Option<&str> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%');
        let trimmed = path.trim_end_matches('/');
        let is_path = path.starts_with('/') && path.bytes().all(plain) && !trimmed.contains("//");
        is_path.then_some(trimmed)
    }

    /// A host as requests are held against it; `None`: it is no name, or has a port.
    pub(super) fn lowered(host: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_ascii_lowercase())
    }
}

impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, path } = self;
        write!(f, "{}{path}", host.as_deref().unwrap_or_default())
    }
}

/// Everything a proxy is started with. Plain values: [`Server::start`](super::Server::start) checks them.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeOptions {
    /// Where MCP clients connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
    /// Where requests go.
    pub upstream: Upstream,
    /// How children are shared.
    pub mode: Mode,
    /// The most children at a time; by default 64 for sessions, 16 for requests of their own, and for
    /// shared children one a core and four at most. Of an upstream over HTTP: the most sessions with it, by
    /// default 1,024 where each client's session has one.
    pub max_connections: Option<u32>,
    /// Children that are kept ready.
    pub min_idle: u32,
    /// Requests that a child answers before another one takes its place; for modes that use a child again.
    pub max_uses: Option<u64>,
    /// How old a child may be before another one takes its place; one that has a session stays for that.
    pub max_lifetime: Option<Duration>,
    /// How long the start of a child may take, its handshake included.
    pub connect_timeout: Duration,
    /// How long a request may wait for a child that is free.
    pub acquire_timeout: Duration,
    /// How long it may take to write a request and to see the first message that belongs to it.
    pub request_timeout: Duration,
    /// How long a child may be silent over a request after that.
    pub response_timeout: Duration,
    /// How long an answer may take from its first message to its end, whatever progress it makes.
    pub response_cap: Duration,
    /// How long a call may take in all, waiting, retries and questions to its client included.
    pub call_timeout: Duration,
    /// When an upstream that fails is left alone; `probe_timeout` is what a call may take to its first message.
    pub breaker: BreakerOptions,
    /// When a silent child is asked for a sign of life, and given up.
    pub probe: ProbeOptions,
    /// How long a session may be unused.
    pub session_idle: Duration,
    /// The most sessions at a time.
    pub max_sessions: usize,
    /// The memory in which the streams of all sessions keep events for clients that come back; 0: nobody comes back.
    pub max_replay_bytes: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// The most requests in flight on one child.
    pub max_in_flight: usize,
    /// Names that are served beside those of loopback and, where it does not listen there, addresses; where it does
    /// not and none is named, any is.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages are let in, and may read what they are answered.
    pub allowed_origins: Vec<String>,
}

impl ServeOptions {
    /// The defaults of `plunge serve` for an upstream.
    pub fn new(upstream: Upstream, mode: Mode) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8808)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8809)),
            upstream,
            mode,
            max_connections: None,
            min_idle: 1,
            max_uses: None,
            max_lifetime: None,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(30),
            response_cap: Duration::from_secs(10 * 60),
            call_timeout: Duration::from_secs(15 * 60),
            breaker: BreakerOptions::default(),
            probe: ProbeOptions::default(),
            session_idle: Duration::from_secs(30 * 60),
            max_sessions: 100_000,
            max_replay_bytes: 256 << 20,
            max_body_bytes: 16 << 20,
            max_in_flight: 256,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }

    /// The limit on children, by default or as it was set. Asks the system: not for every request.
    pub fn children(&self) -> u32 {
        let is_remote = matches!(self.upstream, Upstream::Http(_));
        self.max_connections.unwrap_or_else(|| match self.mode {
            Mode::Session if is_remote => 1024,
            Mode::Session => 64,
            Mode::Exclusive | Mode::Oneshot => 16,
            Mode::Shared | Mode::Stateless => {
                available_parallelism().map_or(1, |cores| cores.get().min(4) as u32)
            }
        })
    }

    /// Subscriptions that one shared child may have open. Over HTTP each has a connection; a child that leaves has
    /// its own as long as its successor has others.
    pub(super) fn listening(&self) -> usize {
        match self.upstream {
            Upstream::Stdio(_) => MAX_LISTENING,
            Upstream::Http(_) => (REMOTE_LISTENING / (2 * self.children().max(1))).max(1) as usize,
        }
    }

    /// How high the limit on children may be set while they are served.
    pub(super) fn ceiling(&self) -> u32 {
        self.children().max(CEILING)
    }

    /// For how long a start that failed says something of the next one.
    pub(super) fn lately(&self) -> Duration {
        2 * self.connect_timeout
    }

    /// Options of a pool that replaces by itself what is old enough.
    pub(super) fn pool<T: PoolableResource>(&self) -> PoolOptions<T> {
        match self.max_lifetime {
            Some(limit) => PoolOptions::new().max_lifetime(limit),
            None => PoolOptions::new(),
        }
    }

    /// The limits of calls.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.connect_timeout,
            request: self.request_timeout,
            idle: self.response_timeout,
            response: self.response_cap,
            overall: self.call_timeout,
        }
    }

    /// When an upstream that fails is left alone: a call that is made to see is alone until it would be given up.
    pub(super) fn breaker(&self) -> BreakerOptions {
        BreakerOptions {
            probe_timeout: self.connect_timeout + self.request_timeout,
            ..self.breaker
        }
    }

    /// Refuses values that contradict each other.
    ///
    /// # Errors
    ///
    /// The text names the field and says what fits.
    pub fn check(&self) -> Result<(), String> {
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("acquire_timeout", self.acquire_timeout),
            ("request_timeout", self.request_timeout),
            ("response_timeout", self.response_timeout),
            ("response_cap", self.response_cap),
            ("call_timeout", self.call_timeout),
            ("breaker.cooldown", self.breaker.cooldown),
            ("breaker.window", self.breaker.window),
            ("probe.interval", self.probe.interval),
            ("probe.patience", self.probe.patience),
            ("session_idle", self.session_idle),
            ("max_lifetime", self.max_lifetime.unwrap_or(LONGEST)),
        ];
        check_times(&durations)?;
        let children = self.children();
        if children == 0 {
            return Err(String::from(
                "max_connections is 0: at least one child is needed",
            ));
        }
        if self.min_idle > children {
            return Err(format!(
                "min_idle is {}, above max_connections, which is {children}: lower it",
                self.min_idle
            ));
        }
        if let Upstream::Http(upstream) = &self.upstream {
            upstream.check(self.mode)?;
        }
        match (self.max_uses, self.mode) {
            (Some(_), Mode::Session | Mode::Oneshot) => {
                return Err(format!(
                    "max_uses is for modes that use a child again, and {} does not: take it out",
                    self.mode.as_str()
                ));
            }
            (Some(0), _) => {
                return Err(String::from("max_uses is 0: give one at least, or none"));
            }
            _ => {}
        }
        if !(1..=MAX_IN_FLIGHT).contains(&self.max_in_flight) {
            return Err(format!(
                "max_in_flight is {}: between 1 and {MAX_IN_FLIGHT} fit",
                self.max_in_flight
            ));
        }
        Ok(())
    }
}

/// Refuses times that are none, or that nobody means.
pub(super) fn check_times(times: &[(&str, Duration)]) -> Result<(), String> {
    if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
        return Err(format!("{name} is zero: give a time above zero"));
    }
    match times.iter().find(|(_, time)| *time > LONGEST) {
        Some((name, _)) => Err(format!("{name} is over a year: give a shorter time")),
        None => Ok(()),
    }
}

/// The least that is set aside for children: 24 KiB.
const CEILING: u32 = 256;
/// Longer than this is a mistake, and sums of such times stay within the clock.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Subscriptions on one child: they last, so they take no place of a request.
pub(super) const MAX_LISTENING: usize = 10_000;
/// The most connections for subscriptions to an upstream over HTTP.
pub(super) const REMOTE_LISTENING: u32 = 4096;
/// What the numbers of rewritten ids have room for.
pub(super) const MAX_IN_FLIGHT: usize = 1024;
