//! What a gateway is started with, and what of it can be changed under load.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::proxy::options::{RouteMatch, check_times};
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
    /// Connections of clients at a time; more wait, and who is idle for a second makes room for them.
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
    /// Whether clients are proxies that may be believed: their `X-Forwarded-*`, `X-Real-IP` and `Forwarded` go on,
    /// and the client's address is added to the first. Else those fields are dropped.
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
        self.check_running()?;
        check_routes(&self.routes)
    }

    /// The same for what runs already: it may lead nowhere.
    pub(in crate::proxy) fn check_running(&self) -> Result<(), String> {
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
        check_targets(&self.routes, self.listen)?;
        check_each(&self.routes)
    }
}

/// Refuses upstreams that are the gateway itself, which listens there.
pub fn check_targets(routes: &[RouteOptions], listen: SocketAddr) -> Result<(), String> {
    for upstream in routes.iter().map(|route| &route.upstream) {
        let mut targets = upstream.targets.iter();
        if let Some(own) = targets.find(|to| is_own(to, listen)) {
            return Err(format!("upstream `{}`: {own} {OWN}", upstream.name));
        }
    }
    Ok(())
}

/// What is said of an upstream that is the gateway itself.
pub(in crate::proxy) const OWN: &str =
    "is where this proxy listens: requests would run in a circle, so name a server";

/// Whether a target is a gateway that listens there.
pub(in crate::proxy) fn is_own(target: &HttpTarget, listen: SocketAddr) -> bool {
    if listen.port() == 0 || target.port() != listen.port() {
        return false;
    }
    let (ip, everywhere) = (listen.ip().to_canonical(), listen.ip().is_unspecified());
    match target.host().parse::<IpAddr>() {
        Ok(to) => {
            let to = to.to_canonical();
            let is_here = to.is_loopback() || to.is_unspecified();
            to == ip || everywhere && is_here && (ip.is_ipv6() || to.is_ipv4())
        }
        Err(_) => {
            target.host().eq_ignore_ascii_case("localhost") && (everywhere || ip.is_loopback())
        }
    }
}

/// Refuses routes that contradict each other, or lead nowhere.
pub(in crate::proxy) fn check_routes(routes: &[RouteOptions]) -> Result<(), String> {
    match routes {
        [] => Err("there is no route: name an upstream".into()),
        routes => check_each(routes),
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

    /// Requests for `[HOST][/PREFIX]`, as a command line says it.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn at(place: &str, upstream: UpstreamOptions) -> Result<Self, String> {
        let (host, prefix) = place.split_at(place.find('/').unwrap_or(place.len()));
        let mut route = Self::new(upstream);
        if !host.is_empty() {
            route.host = Some(RouteMatch::lowered(host).ok_or_else(|| no_host(host))?);
        }
        if !prefix.is_empty() {
            let trimmed = RouteMatch::trimmed(prefix).ok_or_else(|| no_prefix(prefix))?;
            route.prefix = if trimmed.is_empty() { "/" } else { trimmed }.into();
        }
        Ok(route)
    }

    fn check(&self) -> Result<(), String> {
        RouteMatch::trimmed(&self.prefix).ok_or_else(|| no_prefix(&self.prefix))?;
        if let Some(host) = &self.host {
            RouteMatch::lowered(host).ok_or_else(|| no_host(host))?;
        }
        if let HostHeader::Named(name) = &self.host_header
            && !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!("`{name}` cannot be sent as Host"));
        }
        self.upstream.check()
    }
}

fn no_prefix(prefix: &str) -> String {
    format!(
        "the prefix `{prefix}` is no path: it has to begin with `/`, with one slash at a time and without `?`, `#` and `%`"
    )
}

fn no_host(host: &str) -> String {
    format!("the host `{host}` is no name of a host: write one without port, such as example.org")
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
        for (at, target) in self.targets.iter().enumerate() {
            if self.targets[..at]
                .iter()
                .any(|other| is_same(other, target))
            {
                return Err(format!(
                    "upstream `{name}`: {target} is there twice: keep one"
                ));
            }
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

/// Whether both name the same address in the same way.
pub(in crate::proxy) fn is_same(one: &HttpTarget, other: &HttpTarget) -> bool {
    one.port() == other.port() && one.host().eq_ignore_ascii_case(other.host())
}
