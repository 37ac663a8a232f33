//! `plunge serve`: from its options to its end.

use std::io::{self, Write};
use std::time::Duration;

use plunge::proxy::plain::GatewayOptions;
use plunge::proxy::{Mode, ServeOptions, Server};
use plunge::transport::Subprocess;

use crate::Failure;
use crate::arguments::{Serve, options};
use crate::signals::Signals;
use crate::{start, web};

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

pub fn run(serve: &Serve) -> Result<(), Failure> {
    let web = serve.web.options();
    if let Some(web) = &web {
        web.check().map_err(Failure::Usage)?;
    }
    if let Some(web) = web.as_ref().filter(|_| serve.is_demo()) {
        let runtime = start::runtime()?;
        return runtime.block_on(web::serve_alone(web.clone(), SHUTDOWN));
    }
    let options = options(serve)?;
    options.check().map_err(Failure::Usage)?;
    let runtime = start::runtime()?;
    runtime.block_on(serve_until_signalled(options, serve.is_demo(), web))
}

async fn serve_until_signalled(
    options: ServeOptions,
    demo: bool,
    web: Option<GatewayOptions>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let ended = tokio::select! {
        ended = serve_until_closed(options, demo, web) => ended,
        () = signals.second() => Ok(()),
    };
    // What is left of children must not outlive this process.
    tokio::select! {
        _ = tokio::time::timeout(SHUTDOWN, Subprocess::settled()) => {}
        () = signals.next() => {}
    }
    ended
}

async fn serve_until_closed(
    options: ServeOptions,
    demo: bool,
    web: Option<GatewayOptions>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()
        .map_err(|error| Failure::Run(format!("signals cannot be handled: {error}")))?;
    let mode = options.mode;
    let server = tokio::select! {
        started = Server::start(options) => started.map_err(|error| Failure::Run(error.to_string()))?,
        () = signals.next() => return Ok(()),
    };
    let gateway = web.map(web::start).transpose()?;
    greet(&server, mode, demo)
        .map_err(|error| Failure::Run(format!("standard output cannot be written: {error}")))?;
    signals.next().await;
    tracing::info!("shutting down; a second signal ends at once");
    let both = tokio::join!(server.shutdown(SHUTDOWN), async {
        match gateway {
            Some(gateway) => Some(gateway.shutdown(SHUTDOWN).await),
            None => None,
        }
    });
    tracing::info!(report = ?both.0, http = ?both.1, "ended");
    Ok(())
}

/// Says where it listens and what to try. Scripts wait for the line with the word `listening`.
fn greet(server: &Server, mode: Mode, demo: bool) -> io::Result<()> {
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
