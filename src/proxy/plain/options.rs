//! What a gateway is started with, and what of it can be changed under load.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::resilience::{BreakerOptions, Timeouts};
use crate::transport::http::HttpTarget;

/// Everything a [`Gateway`](super::Gateway) is started with. Plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayOptions {
    /// Where clients connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether another process of this user may listen there at the same time, so that one can take over from
    /// another. Else an address in use is refused.
    pub share_address: bool,
    /// Threads, each with a runtime of its own.
    pub workers: NonZeroUsize,
    /// Whether the workers keep to a core each, where there are as many: the slowest answers come sooner. Best
    /// left off where another busy program has a core to itself.
    pub pin_workers: bool,
    /// Connections to all upstreams together.
    pub max_connections: u32,
    /// Connections of clients at a time; more wait to be taken.
    pub max_clients: usize,
    /// What a request may be.
    pub limits: HeadLimits,
    /// How long a client may be idle between two requests.
    pub client_idle: Duration,
    /// How long a client may take for the head of a request.
    pub client_head: Duration,
    /// How long a connection of another protocol may be silent.
    pub tunnel_idle: Duration,
    /// Where requests go; the first that fits best takes one.
    pub routes: Vec<RouteOptions>,
}

/// What a request may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The longest head; longer is 431.
    pub max_head_bytes: usize,
    /// The most header fields, 128 at most; more is 431.
    pub max_fields: usize,
    /// The longest target; longer is 414.
    pub max_target_bytes: usize,
    /// The longest body; longer is 413.
    pub max_body_bytes: u64,
    /// Whether clients are proxies that may be believed: their `X-Forwarded-*` and `Forwarded` go on, and
    /// the client's address is added to them. Else those fields are dropped.
    pub trust_forwarded: bool,
}

/// Which requests go to which upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// The host that a request has to name, without a port; any if there is none.
    pub host: Option<String>,
    /// What its path has to begin with, up to a `/`.
    pub prefix: String,
    /// Whether the prefix is taken off the path.
    pub strip_prefix: bool,
    /// What the upstream sees as `Host`.
    pub host_header: HostHeader,
    /// The upstream.
    pub upstream: UpstreamOptions,
}

/// What an upstream sees as `Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client named.
    #[default]
    Client,
    /// This.
    Named(String),
}

/// Some addresses that serve the same.
#[derive(Clone, Debug)]
pub struct UpstreamOptions {
    /// Its name on pages.
    pub name: String,
    /// Where it is; each address gets a share.
    pub targets: Vec<HttpTarget>,
    /// Whether it is spoken to in h2, known beforehand, over few connections for many requests.
    pub h2: bool,
    /// Connections to one address, from one worker.
    pub max_connections: u32,
    /// How long a request may wait for a connection that others use. For one that is being opened it waits for as long
    /// as that may take.
    pub acquire_timeout: Duration,
    /// After which time a connection that nobody uses is closed.
    pub idle_timeout: Duration,
    /// The limits of an exchange.
    pub timeouts: Timeouts,
    /// When an address that fails is left alone.
    pub breaker: BreakerOptions,
}

impl GatewayOptions {
    /// The defaults, for some routes.
    pub fn new(listen: SocketAddr, routes: Vec<RouteOptions>) -> Self {
        Self {
            listen,
            share_address: false,
            workers: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            pin_workers: true,
            max_connections: 8192,
            max_clients: 16_384,
            limits: HeadLimits::default(),
            client_idle: Duration::from_secs(60),
            client_head: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(60 * 60),
            routes,
        }
    }

    /// Refuses values that contradict each other.
    ///
    /// # Errors
    ///
    /// The text names the field and says what fits.
    pub fn check(&self) -> Result<(), String> {
        check_routes(&self.routes)?;
        self.check_change()
    }

    /// Refuses what cannot be changed to; without a route nothing is found from then on.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub(in crate::proxy) fn check_change(&self) -> Result<(), String> {
        let times = [
            ("client_idle", self.client_idle),
            ("client_head", self.client_head),
            ("tunnel_idle", self.tunnel_idle),
        ];
        check_times(&times)?;
        if self.max_connections == 0 || self.max_clients == 0 {
            return Err("max_connections and max_clients have to be at least 1".into());
        }
        self.limits.check()?;
        check_each(&self.routes)
    }
}

/// Refuses routes that contradict each other, and none.
pub(in crate::proxy) fn check_routes(routes: &[RouteOptions]) -> Result<(), String> {
    match routes.is_empty() {
        true => Err("there is no route: name an upstream".into()),
        false => check_each(routes),
    }
}

fn check_each(routes: &[RouteOptions]) -> Result<(), String> {
    for (at, route) in routes.iter().enumerate() {
        route.check()?;
        let same = |other: &&RouteOptions| other.host == route.host && other.prefix == route.prefix;
        if routes[..at].iter().any(|other| same(&other)) {
            let host = route.host.as_deref().unwrap_or_default();
            return Err(format!(
                "two routes are for `{host}{}`: keep one",
                route.prefix
            ));
        }
    }
    Ok(())
}

impl HeadLimits {
    fn check(&self) -> Result<(), String> {
        if !(256..=1 << 20).contains(&self.max_head_bytes) {
            return Err("max_head_bytes has to be between 256 bytes and 1 MiB".into());
        }
        if !(1..=128).contains(&self.max_fields) {
            return Err("max_fields has to be between 1 and 128".into());
        }
        match self.max_target_bytes {
            0 => Err("max_target_bytes is 0: no request has so short a target".into()),
            _ => Ok(()),
        }
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 32 << 10,
            max_fields: 100,
            max_target_bytes: 8 << 10,
            max_body_bytes: 1 << 30,
            trust_forwarded: false,
        }
    }
}

impl RouteOptions {
    /// All requests to one upstream.
    pub fn new(upstream: UpstreamOptions) -> Self {
        Self {
            host: None,
            prefix: "/".into(),
            strip_prefix: false,
            host_header: HostHeader::Client,
            upstream,
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.prefix.starts_with('/') {
            return Err(format!(
                "the prefix `{}` has to begin with `/`",
                self.prefix
            ));
        }
        if let HostHeader::Named(name) = &self.host_header
            && !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!("`{name}` cannot be sent as Host"));
        }
        self.upstream.check()
    }
}

impl UpstreamOptions {
    /// The defaults for some addresses.
    pub fn new(name: impl Into<String>, targets: Vec<HttpTarget>) -> Self {
        Self {
            name: name.into(),
            targets,
            h2: false,
            max_connections: 1024,
            acquire_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                request: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                response: Duration::from_secs(24 * 60 * 60),
                overall: Duration::from_secs(24 * 60 * 60),
            },
            breaker: BreakerOptions::default(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if self.targets.is_empty() {
            return Err(format!(
                "upstream `{name}` has no address: name one, such as http://127.0.0.1:3000"
            ));
        }
        if let Some(target) = self.targets.iter().find(|target| target.is_tls()) {
            return Err(format!(
                "upstream `{name}`: {target}: https is spoken to MCP servers only: name an http URL, or put what ends TLS between"
            ));
        }
        if self.max_connections == 0 {
            return Err(format!(
                "upstream `{name}`: max_connections has to be at least 1"
            ));
        }
        let times = [
            ("acquire_timeout", self.acquire_timeout),
            ("idle_timeout", self.idle_timeout),
            ("timeouts.connect", self.timeouts.connect),
            ("timeouts.request", self.timeouts.request),
            ("timeouts.idle", self.timeouts.idle),
            ("timeouts.response", self.timeouts.response),
            ("timeouts.overall", self.timeouts.overall),
            ("breaker.cooldown", self.breaker.cooldown),
            ("breaker.window", self.breaker.window),
        ];
        check_times(&times).map_err(|reason| format!("upstream `{name}`: {reason}"))
    }
}

/// What is the same makes the same pools, which stay when routes are replaced.
impl PartialEq for UpstreamOptions {
    fn eq(&self, other: &Self) -> bool {
        let breaker = |options: &BreakerOptions| {
            let times = (options.window, options.cooldown, options.longest_cooldown);
            (
                options.failures,
                options.failure_percent,
                options.least_calls,
                times,
            )
        };
        let urls = |options: &Self| -> Vec<String> {
            options.targets.iter().map(ToString::to_string).collect()
        };
        let plain = |options: &Self| {
            let times = (
                options.acquire_timeout,
                options.idle_timeout,
                options.timeouts,
            );
            (
                options.name.clone(),
                options.h2,
                options.max_connections,
                times,
            )
        };
        plain(self) == plain(other)
            && urls(self) == urls(other)
            && breaker(&self.breaker) == breaker(&other.breaker)
    }
}

impl Eq for UpstreamOptions {}

fn check_times(times: &[(&str, Duration)]) -> Result<(), String> {
    if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
        return Err(format!("{name} is zero: give a time above zero"));
    }
    match times.iter().find(|(_, time)| *time > LONGEST) {
        Some((name, _)) => Err(format!("{name} is over a year: give a shorter time")),
        None => Ok(()),
    }
}

/// Longer than this is a mistake, and sums of such times stay within the clock.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
