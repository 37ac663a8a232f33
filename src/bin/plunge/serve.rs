//! `plunge serve`: from its options to its end.

use std::io::{self, Write};
use std::time::Duration;

use plunge::proxy::{Config, FileWatch, Mode, Server, UpstreamConfig};
use plunge::transport::Subprocess;

use crate::Failure;
use crate::arguments::{Serve, options, this_program};
use crate::reloads::Reloads;
use crate::signals::Signals;
use crate::{configuration, log, start, web};

/// How long children may take to be gone after all else.
const SHUTDOWN: Duration = Duration::from_secs(10);

pub fn run(serve: &Serve) -> Result<(), Failure> {
    let watch = serve.config.as_deref().map(FileWatch::new);
    let config = match &serve.config {
        Some(file) => configuration::read(file, &this_program()?)?,
        None => from_flags(serve)?,
    };
    let runtime = start::runtime(&config.log.level, start::half_of_the_cores())?;
    runtime.block_on(serve_until_signalled(config, watch, serve))
}

fn from_flags(serve: &Serve) -> Result<Config, Failure> {
    let web = serve.web.options();
    if let Some(web) = &web {
        web.check().map_err(Failure::Usage)?;
    }
    let mut config = match web {
        Some(web) if serve.is_demo() => {
            serve.is_for_plain_http()?;
            Config::plain(web, serve.admin())
        }
        web => {
            let options = options(serve)?;
            options.check().map_err(Failure::Usage)?;
            let mut config = Config::single(options);
            config.web_apart = web.as_ref().is_some_and(|web| web.listen.port() == 0);
            config.web = web;
            config
        }
    };
    config.reuse_port = serve.reuse_port;
    config.keep_awake = serve.keep_awake;
    Ok(config)
}

async fn serve_until_signalled(
    config: Config,
    watch: Option<FileWatch>,
    args: &Serve,
) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let ended = tokio::select! {
        ended = serve_until_closed(config, watch, args) => ended,
        () = signals.second() => Ok(()),
    };
    // What is left of children must not outlive this process.
    tokio::select! {
        _ = tokio::time::timeout(SHUTDOWN, Subprocess::settled()) => {}
        () = signals.next() => {}
    }
    // The last words of those that ended by themselves are logged by tasks, which can run now.
    tokio::task::yield_now().await;
    log::settle().await;
    ended
}

async fn serve_until_closed(
    config: Config,
    watch: Option<FileWatch>,
    args: &Serve,
) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let routes = routes(&config);
    let plain = config.web.as_ref().map_or(0, |web| web.routes.len());
    let is_plain = config.upstreams.is_empty();
    let mut reloads = Reloads::new(watch)?;
    let mode = config
        .upstreams
        .first()
        .map(|upstream| upstream.options.mode);
    let server = tokio::select! {
        started = Server::open(config) => started.map_err(|error| Failure::Run(error.to_string()))?,
        () = signals.next() => return Ok(()),
    };
    start::serves();
    let is_apart = server
        .http_address()
        .filter(|http| is_plain || *http != server.mcp_address());
    if let Some(address) = is_apart {
        web::greet(address, plain)?;
    }
    let greeted = match &routes[..] {
        _ if is_plain => greet_admin(&server),
        [(_, path)] if plain == 0 || is_apart.is_some() => {
            greet(&server, path, mode.unwrap_or(Mode::Session), args.is_demo())
        }
        several => greet_several(&server, several),
    };
    greeted.map_err(|error| Failure::Run(format!("standard output cannot be written: {error}")))?;
    tokio::select! {
        () = signals.next() => {}
        () = reloads.follow(&server) => {}
    }
    tracing::info!("shutting down; a second signal ends at once");
    let drain = server.drain();
    let report = server.shutdown(drain).await;
    tracing::info!(?report, "ended");
    Ok(())
}

/// The name of each upstream, and where it is.
fn routes(config: &Config) -> Vec<(String, String)> {
    let named = |upstream: &UpstreamConfig| (upstream.name.clone(), upstream.route.to_string());
    let plain = config.web.iter().flat_map(|web| &web.routes).map(|route| {
        let host = route.host.as_deref().unwrap_or_default();
        (
            route.upstream.name.clone(),
            format!("{host}{}", route.prefix),
        )
    });
    let mcp = config.upstreams.iter().map(named);
    mcp.chain(plain).collect()
}

/// Says where it listens, and what is where.
fn greet_several(server: &Server, routes: &[(String, String)]) -> io::Result<()> {
    let (mcp, admin) = (server.mcp_address(), server.admin_address());
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "plunge: listening on http://{mcp} ({} upstreams)",
        routes.len()
    )?;
    for (name, route) in routes {
        writeln!(out, "{name}: {route}")?;
    }
    writeln!(out, "admin: http://{admin}/")?;
    out.flush()
}

/// Says where the pages for operators are.
fn greet_admin(server: &Server) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "admin: http://{}/", server.admin_address())?;
    out.flush()
}

/// Says where it listens and what to try. Scripts wait for the line with the word `listening`.
fn greet(server: &Server, path: &str, mode: Mode, demo: bool) -> io::Result<()> {
    let (mcp, admin) = (server.mcp_address(), server.admin_address());
    let try_it = match (mode, demo) {
        (Mode::Shared | Mode::Stateless | Mode::Exclusive, true) => {
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}"#
        }
        (Mode::Shared | Mode::Stateless | Mode::Exclusive | Mode::Oneshot, _) => {
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
        "plunge: listening on http://{mcp}{path} (mode {}, {what})",
        mode.as_str()
    )?;
    writeln!(
        out,
        "try:   curl -s http://{mcp}{path} -H 'Content-Type: application/json' -d '{try_it}'"
    )?;
    writeln!(out, "admin: http://{admin}/")?;
    out.flush()
}
