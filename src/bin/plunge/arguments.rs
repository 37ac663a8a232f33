//! The command line, and the options that it asks for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plunge::proxy::{HttpUpstream, Mode, ServeOptions, Upstream, demo_command, parse_time};
use plunge::resilience::{BreakerOptions, ProbeOptions};
use plunge::transport::Command;

use crate::Failure;
use crate::web::Web;

/// The hidden first argument under which this program ties a child to its life and becomes it.
pub const LAUNCH: &str = "launch-child";
/// The hidden first argument under which this program ends what children leave behind, once it is gone.
pub const GUARD: &str = "guard-groups";

/// A reverse proxy for MCP on a lock-free pool. Without arguments it serves a demo.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Option<Task>,
}

#[derive(Subcommand)]
pub enum Task {
    /// Serve MCP over HTTP in front of pooled upstreams.
    Serve(Box<Serve>),
    /// Serve one client over standard input and output, in front of the same upstreams.
    Forward(Box<Forward>),
    /// Be the demo MCP server, over standard input and output.
    DemoServer,
    /// Report every mistake in a configuration file, and start nothing.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print a configuration file.
    Config {
        /// One with every key and a word on each.
        #[arg(long, required = true)]
        example: bool,
    },
}

#[derive(Args, Default)]
pub struct Serve {
    /// A configuration file, in place of the other flags; `plunge config --example` prints one.
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub config: Option<PathBuf>,
    /// Where MCP clients connect [default: 127.0.0.1:8808].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the admin pages are [default: 127.0.0.1:8809].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Lets another process listen on the same address: it takes over while this one drains.
    #[arg(long)]
    pub reuse_port: bool,
    /// Keeps the cores of this machine awake while requests come: they are served sooner, for more power.
    #[arg(long)]
    pub keep_awake: bool,
    /// The command of an MCP server that speaks over standard streams [default: the demo server].
    #[arg(long, value_name = "CMD ARGS", value_parser = parse_command)]
    pub stdio: Option<Command>,
    #[command(flatten)]
    pub remote: Remote,
    #[command(flatten)]
    pub web: Web,
    /// How children are shared [default: session; shared for the demo].
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    #[command(flatten)]
    limits: Limits,
}

/// An upstream over HTTP.
#[derive(Args, Default)]
pub struct Remote {
    /// The endpoint of an MCP server over HTTP, such as http://127.0.0.1:3000/mcp; of one of the transport of 2024-11-05 its
    /// stream, such as http://127.0.0.1:3000/sse.
    #[arg(long, value_name = "URL", value_parser = parse_upstream, conflicts_with = "stdio")]
    pub mcp_http: Option<HttpUpstream>,
    /// A header that goes with every request to it; may be given several times.
    #[arg(long, value_name = "NAME: VALUE", value_parser = parse_header, requires = "mcp_http")]
    upstream_header: Vec<(String, String)>,
}

#[derive(Args)]
pub struct Forward {
    /// The command of an MCP server that speaks over standard streams [default: the demo server].
    #[arg(long, value_name = "CMD ARGS", value_parser = parse_command)]
    stdio: Option<Command>,
    #[command(flatten)]
    pub remote: Remote,
    /// How children are shared [default: session].
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    #[command(flatten)]
    limits: Limits,
}

/// Counts and times of an upstream.
#[derive(Args, Default)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// The most children at a time [default: 64 for sessions, 16 for a child a request, else one a
    /// core and 4 at most].
    #[arg(long, value_name = "N")]
    max_connections: Option<u32>,
    /// Children that are kept ready [default: 1].
    #[arg(long, value_name = "N")]
    min_idle: Option<u32>,
    /// Requests after which a child is replaced, in modes that use one again [default: never].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_uses: Option<u64>,
    /// Age at which a child is replaced; one that has a session stays for that [default: never].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    max_lifetime: Option<Duration>,
    /// Requests in flight on one child [default: 256].
    #[arg(long, value_name = "N")]
    max_in_flight: Option<usize>,
    /// How long the start of a child may take [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    connect_timeout: Option<Duration>,
    /// How long a request may wait for a child that is free [default: 2s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    acquire_timeout: Option<Duration>,
    /// How long writing a request and the first message that belongs to it may take [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    request_timeout: Option<Duration>,
    /// How long a child may be silent over a request after that; progress starts it again [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    response_timeout: Option<Duration>,
    /// How long an answer may take from its first message on, whatever progress it makes [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    response_cap: Option<Duration>,
    /// How long a call may take in all, waiting, retries and questions included [default: 15m].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    call_timeout: Option<Duration>,
    /// How long a session may be unused [default: 30m].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    session_idle: Option<Duration>,
    /// Failures in a row that open the circuit breaker [default: 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    breaker_failures: Option<u32>,
    /// Percent of failed calls that open it, among 40 in ten seconds [default: 50].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    breaker_percent: Option<u32>,
    /// How long it stays open the first time [default: 1s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    breaker_cooldown: Option<Duration>,
    /// How long a busy child may be silent before it is asked for a sign of life [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    probe_interval: Option<Duration>,
    /// How long it may take to answer; two misses, and it is replaced [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    probe_patience: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    /// One child for each client session.
    Session,
    /// One child for each request, returned after it.
    Exclusive,
    /// Few children for everybody.
    Shared,
    /// As shared, for servers of the revision without sessions.
    Stateless,
    /// One child for one request, which answers and exits.
    Oneshot,
}

/// The options of a proxy.
pub fn options(serve: &Serve) -> Result<ServeOptions, Failure> {
    let mode = match serve.mode {
        None if serve.is_demo() => Mode::Shared,
        None => Mode::Session,
        Some(name) => name.mode(),
    };
    let upstream = upstream(serve.stdio.as_ref(), &serve.remote)?;
    let defaults = ServeOptions::new(upstream, mode);
    let options = ServeOptions {
        listen: serve.listen.unwrap_or(defaults.listen),
        admin: serve.admin(),
        ..defaults
    };
    Ok(serve.limits.apply(options))
}

/// The options of a forward: one client, so one child is enough.
pub fn forward_options(forward: &Forward) -> Result<ServeOptions, Failure> {
    let mode = forward.mode.map_or(Mode::Session, ModeName::mode);
    let upstream = upstream(forward.stdio.as_ref(), &forward.remote)?;
    Ok(forward.limits.apply(ServeOptions::new(upstream, mode)))
}

impl ModeName {
    fn mode(self) -> Mode {
        match self {
            Self::Session => Mode::Session,
            Self::Exclusive => Mode::Exclusive,
            Self::Shared => Mode::Shared,
            Self::Stateless => Mode::Stateless,
            Self::Oneshot => Mode::Oneshot,
        }
    }
}

impl Serve {
    /// Whether the demo server is served: nothing else was named.
    pub fn is_demo(&self) -> bool {
        self.stdio.is_none() && self.remote.mcp_http.is_none()
    }

    /// Where the admin pages are.
    pub fn admin(&self) -> SocketAddr {
        let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 8809));
        self.admin.unwrap_or(usual)
    }

    /// Refuses what says something of MCP, where there is none.
    pub fn is_for_plain_http(&self) -> Result<(), Failure> {
        match (self.listen, self.mode) {
            (None, None) => Ok(()),
            _ => Err(Failure::Usage(String::from(
                "`--listen` and `--mode` are for MCP: name the address of plain HTTP with `--http-listen`, or an MCP server, too",
            ))),
        }
    }
}

fn upstream(stdio: Option<&Command>, remote: &Remote) -> Result<Upstream, Failure> {
    let Some(upstream) = &remote.mcp_http else {
        return command(stdio).map(Upstream::Stdio);
    };
    let named = remote.upstream_header.iter().cloned();
    let upstream = named.fold(upstream.clone(), |upstream, (name, value)| {
        upstream.header(name, value)
    });
    Ok(Upstream::Http(upstream))
}

/// The command of the children, tied to the life of this process.
fn command(stdio: Option<&Command>) -> Result<Command, Failure> {
    let nowhere =
        |error| Failure::Run(format!("this program cannot be found on the disk: {error}"));
    let command = match stdio {
        Some(command) => command.clone(),
        None => demo_command().map_err(nowhere)?,
    };
    Ok(tied(command, &this_program()?))
}

/// The command of a child, tied to the life of this process, which is this program.
pub fn tied(command: Command, this: &Path) -> Command {
    command
        .launched_by(this, [LAUNCH])
        .guarded_by(this, [GUARD])
}

/// Where this program is. To be asked at the start: after an upgrade the system names the old file, which is gone.
pub fn this_program() -> Result<PathBuf, Failure> {
    let nowhere =
        |error| Failure::Run(format!("this program cannot be found on the disk: {error}"));
    std::env::current_exe().map_err(nowhere)
}

impl Limits {
    fn apply(&self, base: ServeOptions) -> ServeOptions {
        ServeOptions {
            max_connections: self.max_connections.or(base.max_connections),
            min_idle: self.min_idle.unwrap_or(base.min_idle),
            max_uses: self.max_uses.or(base.max_uses),
            max_lifetime: self.max_lifetime.or(base.max_lifetime),
            max_in_flight: self.max_in_flight.unwrap_or(base.max_in_flight),
            connect_timeout: self.connect_timeout.unwrap_or(base.connect_timeout),
            acquire_timeout: self.acquire_timeout.unwrap_or(base.acquire_timeout),
            request_timeout: self.request_timeout.unwrap_or(base.request_timeout),
            response_timeout: self.response_timeout.unwrap_or(base.response_timeout),
            response_cap: self.response_cap.unwrap_or(base.response_cap),
            call_timeout: self.call_timeout.unwrap_or(base.call_timeout),
            session_idle: self.session_idle.unwrap_or(base.session_idle),
            breaker: self.breaker(base.breaker),
            probe: ProbeOptions {
                interval: self.probe_interval.unwrap_or(base.probe.interval),
                patience: self.probe_patience.unwrap_or(base.probe.patience),
                ..base.probe
            },
            ..base
        }
    }

    fn breaker(&self, base: BreakerOptions) -> BreakerOptions {
        let cooldown = self.breaker_cooldown.unwrap_or(base.cooldown);
        BreakerOptions {
            failures: self.breaker_failures.unwrap_or(base.failures),
            failure_percent: self.breaker_percent.unwrap_or(base.failure_percent),
            cooldown,
            longest_cooldown: base.longest_cooldown.max(cooldown),
            ..base
        }
    }
}

fn parse_upstream(url: &str) -> Result<HttpUpstream, String> {
    HttpUpstream::parse(url).map_err(|error| error.to_string())
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parse_command(line: &str) -> Result<Command, String> {
    Command::parse(line).map_err(|error| error.to_string())
}
