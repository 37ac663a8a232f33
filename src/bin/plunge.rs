//! The `plunge` command: arguments and exit codes.
//!
//! Exit codes: 0 served and ended in order, 1 could not start or serve, 2 the arguments are wrong.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plunge::proxy::{Mode, ServeOptions, Server, Upstream, demo_command, serve_demo};
use plunge::transport::{Command, Subprocess};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A reverse proxy for MCP on a lock-free pool. Without arguments it serves a demo.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Serve MCP over HTTP in front of pooled upstreams.
    Serve(Box<Serve>),
    /// Serve one client over standard input and output (not in this version).
    Forward(Forward),
    /// Be the demo MCP server, over standard input and output.
    DemoServer,
}

#[derive(Args, Default)]
struct Serve {
    /// A configuration file (not in this version).
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Where MCP clients connect [default: 127.0.0.1:8808].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the admin pages are [default: 127.0.0.1:8809].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The command of an MCP server that speaks over standard streams [default: the demo server].
    #[arg(long, value_name = "CMD ARGS", value_parser = parse_command)]
    stdio: Option<Command>,
    /// An MCP server over HTTP (not in this version).
    #[arg(long, value_name = "URL")]
    mcp_http: Option<String>,
    /// A plain HTTP server (not in this version).
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// How children are shared [default: session; shared for the demo].
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// The most children at a time.
    #[arg(long, value_name = "N")]
    max_connections: Option<u32>,
    /// Children that are kept ready [default: 1].
    #[arg(long, value_name = "N")]
    min_idle: Option<u32>,
    /// How long the start of a child may take [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    connect_timeout: Option<Duration>,
    /// How long writing a request and the first byte of its answer may take [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    request_timeout: Option<Duration>,
    /// How long a child may be silent over a request [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    response_timeout: Option<Duration>,
}

#[derive(Args)]
struct Forward {
    /// The command of an MCP server that speaks over standard streams.
    #[arg(long, value_name = "CMD ARGS")]
    stdio: Option<String>,
    /// An MCP server over HTTP.
    #[arg(long, value_name = "URL")]
    mcp_http: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    /// One child for each client session.
    Session,
    /// One child for each request, returned after it.
    Exclusive,
    /// Few children for everybody.
    Shared,
    /// As shared, for stateless servers (not in this version).
    Stateless,
    /// One child for one request, which answers and exits.
    Oneshot,
}

/// What ends the command, with its exit code.
enum Failure {
    /// The arguments are wrong: 2.
    Usage(String),
    /// It cannot start or serve: 1.
    Run(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.task {
        None => run(&Serve::default()),
        Some(Task::Serve(serve)) => run(&serve),
        Some(Task::Forward(_)) => Err(Failure::Usage(String::from(
            "`plunge forward` is not in this version; put `plunge serve` in front of the server and connect over HTTP",
        ))),
        Some(Task::DemoServer) => serve_demo(io::stdin().lock(), io::stdout())
            .map_err(|error| Failure::Run(error.to_string())),
    };
    let (code, text) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(text)) => (1, text),
        Err(Failure::Usage(text)) => (2, text),
    };
    // With standard error closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "plunge: {text}");
    ExitCode::from(code)
}

fn run(serve: &Serve) -> Result<(), Failure> {
    let options = options(serve)?;
    options.check().map_err(Failure::Usage)?;
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        runtime.worker_threads(workers());
    }
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(format!("no runtime: {error}")))?;
    runtime.block_on(serve_until_signalled(options, serve.stdio.is_none()))
}

/// Half of the cores: the children need the others, and a request that is alone on the proxy costs
/// half as much where no second worker is woken to look for work (17 µs of processor time against 35).
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

async fn serve_until_signalled(options: ServeOptions, demo: bool) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let ended = tokio::select! {
        ended = serve_until_closed(options, demo) => ended,
        () = signals.second() => Ok(()),
    };
    // What is left of children must not outlive this process.
    tokio::select! {
        _ = tokio::time::timeout(SHUTDOWN, Subprocess::settled()) => {}
        () = signals.next() => {}
    }
    ended
}

async fn serve_until_closed(options: ServeOptions, demo: bool) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let mode = options.mode;
    let server = tokio::select! {
        started = Server::start(options) => started.map_err(|error| Failure::Run(error.to_string()))?,
        () = signals.next() => return Ok(()),
    };
    greet(&server, mode, demo)
        .map_err(|error| Failure::Run(format!("standard output cannot be written: {error}")))?;
    signals.next().await;
    tracing::info!("shutting down; a second signal ends at once");
    let report = server.shutdown(SHUTDOWN).await;
    tracing::info!(?report, "ended");
    Ok(())
}

/// Says where it listens and what to try. Scripts wait for the line with the word `listening`.
fn greet(server: &Server, mode: Mode, demo: bool) -> io::Result<()> {
    let (mcp, admin) = (server.mcp_address(), server.admin_address());
    let try_it = match (mode, demo) {
        (Mode::Shared | Mode::Exclusive, true) => {
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}"#
        }
        (Mode::Shared | Mode::Exclusive | Mode::Oneshot, _) => {
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#
        }
        _ => {
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}"#
        }
    };
    let what = if demo {
        "the demo server"
    } else {
        "your server"
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "plunge: listening on http://{mcp}/mcp (mode {}, {what})",
        mode.as_str()
    )?;
    writeln!(
        out,
        "try:   curl -s http://{mcp}/mcp -H 'Content-Type: application/json' -d '{try_it}'"
    )?;
    writeln!(out, "admin: http://{admin}/")?;
    out.flush()
}

fn options(serve: &Serve) -> Result<ServeOptions, Failure> {
    let later = [
        ("--config", serve.config.is_some()),
        ("--mcp-http", serve.mcp_http.is_some()),
        ("--http", serve.http.is_some()),
    ];
    if let Some((flag, _)) = later.iter().find(|(_, given)| *given) {
        return Err(Failure::Usage(format!(
            "`{flag}` is not in this version; use `--stdio \"CMD ARGS\"`"
        )));
    }
    let mode = match serve.mode {
        None if serve.stdio.is_none() => Mode::Shared,
        None | Some(ModeName::Session) => Mode::Session,
        Some(ModeName::Exclusive) => Mode::Exclusive,
        Some(ModeName::Shared) => Mode::Shared,
        Some(ModeName::Oneshot) => Mode::Oneshot,
        Some(ModeName::Stateless) => {
            return Err(Failure::Usage(String::from(
                "this mode is not in this version; use `--mode session`, `exclusive`, `shared` or `oneshot`",
            )));
        }
    };
    let command = match &serve.stdio {
        Some(command) => command.clone(),
        None => demo_command()
            .map_err(|error| Failure::Run(format!("the demo server is not found: {error}")))?,
    };
    let defaults = ServeOptions::new(Upstream::Stdio(command), mode);
    Ok(ServeOptions {
        listen: serve.listen.unwrap_or(defaults.listen),
        admin: serve.admin.unwrap_or(defaults.admin),
        max_connections: serve.max_connections.or(defaults.max_connections),
        min_idle: serve.min_idle.unwrap_or(defaults.min_idle),
        connect_timeout: serve.connect_timeout.unwrap_or(defaults.connect_timeout),
        request_timeout: serve.request_timeout.unwrap_or(defaults.request_timeout),
        response_timeout: serve.response_timeout.unwrap_or(defaults.response_timeout),
        ..defaults
    })
}

fn parse_command(line: &str) -> Result<Command, String> {
    Command::parse(line).map_err(|error| error.to_string())
}

/// Reads a time such as `5s`, `250ms`, `1m`; a bare number is seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || String::from("write a time above zero such as 250ms, 5s or 1m");
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let seconds = match &text[digits..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !time.is_zero() && time.as_secs() < 1 << 31)
        .ok_or_else(wrong)
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn second(&mut self) {
        self.next().await;
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
