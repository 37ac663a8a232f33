//! Plain HTTP: where it is listened for, and its upstreams.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use toml::de::DeValue;

use super::section::{Noted, Section};
use crate::proxy::options::RouteMatch;
use crate::proxy::plain::{
    GatewayOptions, HostHeader, OWN, RouteOptions, UpstreamOptions, checked_host, is_own, is_same,
};
use crate::transport::http::{HttpTarget, TargetError};

/// The options of the gateway, without routes. Without an address of its own it shares that of MCP; `apart` is
/// set where its own looks the same and is another.
pub fn gateway(
    top: &mut Section<'_>,
    noted: &mut Noted,
    listen: SocketAddr,
    apart: &mut bool,
) -> GatewayOptions {
    let mut options = GatewayOptions::new(listen, Vec::new());
    let Some(found) = top.get("http") else {
        return options;
    };
    let DeValue::Table(table) = found.get_ref() else {
        let text = "`http` is no table: write [http] and its keys below";
        top.say(found.span().start, text);
        return options;
    };
    let mut section = Section::new(table, found.span().start);
    options.listen = section.address("listen").unwrap_or(listen);
    *apart = section.has("listen") && options.listen.port() == 0;
    if let Some(read) = section.number("workers", 1..=1024) {
        let workers = usize::try_from(read.value).ok().and_then(NonZeroUsize::new);
        options.workers = workers.unwrap_or(options.workers);
    }
    if let Some(pinned) = section.boolean("pin_workers") {
        options.pin_workers = pinned;
    }
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    if let Some(read) = section.number("max_clients", 1..=1_000_000) {
        options.max_clients = size(read.value);
    }
    if let Some(read) = section.number("max_connections", 1..=1_000_000) {
        options.max_connections = u32::try_from(read.value).unwrap_or(u32::MAX);
    }
    if let Some(read) = section.number("max_head_bytes", 256..=1 << 20) {
        options.limits.max_head_bytes = size(read.value);
    }
    if let Some(read) = section.number("max_body_bytes", 0..=1 << 50) {
        options.limits.max_body_bytes = read.value;
    }
    if let Some(trusted) = section.boolean("trust_forwarded") {
        options.limits.trust_forwarded = trusted;
    }
    let mut set = |key: &'static str, to: &mut Duration| *to = section.time(key).unwrap_or(*to);
    set("client_idle", &mut options.client_idle);
    set("client_head", &mut options.client_head);
    set("tunnel_idle", &mut options.tunnel_idle);
    noted.extend(section.finish(|_| None));
    options
}

/// One upstream of the gateway, which listens there.
pub fn route(
    section: &mut Section<'_>,
    name: &str,
    place: &RouteMatch,
    listen: SocketAddr,
) -> Option<RouteOptions> {
    if !section.has("url") {
        let text = "this upstream has no `url`: write one such as \"http://127.0.0.1:3000\", or a list of them";
        section.say(section.at, text);
    }
    let mut upstream = UpstreamOptions::new(name, targets(section, listen));
    upstream.h2 = section.boolean("h2").unwrap_or(false);
    if let Some(read) = section.number("max_connections", 1..=65_535) {
        upstream.max_connections = u32::try_from(read.value).unwrap_or(u32::MAX);
    }
    times(section, &mut upstream);
    let mut route = RouteOptions::new(upstream);
    route.host.clone_from(&place.host);
    route.prefix.clone_from(&place.path);
    route.strip_prefix = section.boolean("strip_prefix").unwrap_or(false);
    if let Some(host) = section.string("host_header") {
        if host.value.is_empty() || checked_host(host.value.as_bytes()).is_err() {
            let text = format!("`host_header`: \"{}\" cannot be sent as Host", host.value);
            section.say(host.at, text);
        }
        route.host_header = HostHeader::Named(host.value.to_owned());
    }
    if section.is_sound()
        && let Err(reason) = crate::proxy::plain::check_routes(std::slice::from_ref(&route))
    {
        section.say(section.at, reason);
    }
    (!route.upstream.targets.is_empty()).then_some(route)
}

fn times(section: &mut Section<'_>, upstream: &mut UpstreamOptions) {
    let mut set = |key: &'static str, to: &mut Duration| *to = section.time(key).unwrap_or(*to);
    set("acquire_timeout", &mut upstream.acquire_timeout);
    set("idle_timeout", &mut upstream.idle_timeout);
    set("connect_timeout", &mut upstream.timeouts.connect);
    set("request_timeout", &mut upstream.timeouts.request);
    set("response_timeout", &mut upstream.timeouts.idle);
    set("response_cap", &mut upstream.timeouts.response);
    set("call_timeout", &mut upstream.timeouts.overall);
    super::upstream::breaker(section, &mut upstream.breaker);
}

fn targets(section: &mut Section<'_>, listen: SocketAddr) -> Vec<HttpTarget> {
    let mut targets: Vec<HttpTarget> = Vec::new();
    for url in section.strings("url") {
        let wrong = match target(url.value) {
            Ok(target) if is_own(&target, listen) => String::from(OWN),
            Ok(target) if targets.iter().any(|other| is_same(other, &target)) => {
                String::from("is in the list twice: keep one")
            }
            Ok(target) => {
                targets.push(target);
                continue;
            }
            Err(text) => text,
        };
        section.say(url.at, format!("`url`: \"{}\": {wrong}", url.value));
    }
    targets
}

fn target(url: &str) -> Result<HttpTarget, String> {
    if url.starts_with("https:") {
        return Err("plain upstreams are spoken to over http: write http://".into());
    }
    let target = HttpTarget::parse(url).map_err(|error| match error {
        TargetError::NoUrl => "write a URL such as http://127.0.0.1:3000".to_owned(),
        error => error.to_string(),
    })?;
    match target.path() {
        "/" => Ok(target),
        path => Err(format!("leave `{path}` out: a request's own path goes on")),
    }
}
