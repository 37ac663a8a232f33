//! Plain HTTP upstreams on the command line.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use clap::Args;
use plunge::proxy::plain::{GatewayOptions, HostHeader, RouteOptions, UpstreamOptions};
use plunge::transport::http::HttpTarget;

use crate::Failure;

/// Plain HTTP servers.
#[derive(Args, Default)]
#[command(next_help_heading = "Plain HTTP")]
pub struct Web {
    /// Plain HTTP servers for a path prefix, a host, or both: `/api=http://127.0.0.1:3000,http://127.0.0.1:3001`,
    /// `example.org=http://…`, `example.org/api=http://…`; without one, for all that is left. `h2c://` speaks
    /// h2 to it. May be given several times.
    #[arg(long, value_name = "[HOST][/PREFIX]=URL[,URL…]", value_parser = parse_route)]
    http: Vec<RouteOptions>,
    /// Where clients of those connect [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS", requires = "http")]
    http_listen: Option<SocketAddr>,
    /// Threads for them [default: one a core].
    #[arg(long, value_name = "N", requires = "http")]
    http_workers: Option<NonZeroUsize>,
    /// Take the prefix of a route off the path.
    #[arg(long, requires = "http")]
    strip_prefix: bool,
    /// What those servers see as Host, instead of what the client named.
    #[arg(long, value_name = "NAME", requires = "http")]
    http_host: Option<String>,
    /// Clients are proxies that may be believed: their X-Forwarded-*, X-Real-IP and Forwarded go on.
    #[arg(long, requires = "http")]
    trust_forwarded: bool,
}

impl Web {
    /// The options of a gateway, if one is asked for.
    pub fn options(&self) -> Option<GatewayOptions> {
        if self.http.is_empty() {
            return None;
        }
        let routes = self.http.iter().cloned().map(|route| RouteOptions {
            strip_prefix: self.strip_prefix,
            host_header: self
                .http_host
                .clone()
                .map_or(HostHeader::Client, HostHeader::Named),
            ..route
        });
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let listen = self.http_listen.unwrap_or(listen);
        let mut options = GatewayOptions::new(listen, routes.collect());
        options.workers = self.http_workers.unwrap_or(options.workers);
        options.limits.trust_forwarded = self.trust_forwarded;
        Some(options)
    }
}

/// Says where it listens: scripts wait for the line with the word `listening`.
pub fn greet(address: SocketAddr, routes: usize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let routes = match routes {
        1 => String::from("1 route"),
        count => format!("{count} routes"),
    };
    writeln!(
        out,
        "plunge: http listening on http://{address}/ ({routes})"
    )
    .and_then(|()| out.flush())
    .map_err(|error| Failure::Run(format!("standard output cannot be written: {error}")))
}

/// Reads `[HOST][/PREFIX]=URL[,URL…]`.
fn parse_route(text: &str) -> Result<RouteOptions, String> {
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("h2c://");
    let (place, urls) = match text.split_once('=') {
        Some((place, urls)) if !is_url(text) => (place, urls),
        _ => ("/", text),
    };
    let urls: Vec<&str> = urls.split(',').collect();
    let h2 = urls.iter().all(|url| url.starts_with("h2c://"));
    if !h2 && urls.iter().any(|url| url.starts_with("h2c://")) {
        return Err("either all URLs of a route begin with `h2c://`, or none".into());
    }
    let targets: Result<Vec<HttpTarget>, String> =
        urls.iter().map(|url| parse_target(url)).collect();
    let mut upstream = UpstreamOptions::new(place, targets?);
    upstream.h2 = h2;
    RouteOptions::at(place, upstream)
}

fn parse_target(url: &str) -> Result<HttpTarget, String> {
    if url.starts_with("https:") {
        return Err("https is not spoken to plain upstreams: write http://".into());
    }
    let plain = url.replacen("h2c://", "http://", 1);
    if !plain.starts_with("http://") {
        return Err(format!(
            "`{url}` is no URL: write one such as http://127.0.0.1:3000"
        ));
    }
    let target = HttpTarget::parse(&plain).map_err(|error| error.to_string())?;
    match target.path() {
        "/" => Ok(target),
        path => Err(format!(
            "`{url}` has the path `{path}`: a request's own path goes on, so leave it out"
        )),
    }
}
