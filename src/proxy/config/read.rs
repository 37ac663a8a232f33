//! From the text of a file to what it says.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::config::{AccessLog, Config, DRAIN, LogOptions, UpstreamConfig};
use super::section::{Noted, Section};
use super::upstream::What;
use super::{Mistake, upstream, web};
use crate::proxy::plain::{GatewayOptions, RouteOptions};

/// What every upstream gets from the top of the file.
pub struct Shared {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where those of plain HTTP do.
    pub http: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
    /// Hosts that are served beside the listening address.
    pub hosts: Vec<String>,
    /// Origins whose pages are let in.
    pub origins: Vec<String>,
}

/// Reads a configuration.
///
/// # Errors
///
/// Every mistake, in the order of the file.
pub fn config(text: &str) -> Result<Config, Vec<Mistake>> {
    let (document, broken) = DeTable::parse_recoverable(text);
    let mut noted: Noted = Vec::new();
    for error in broken {
        let at = error.span().map_or(text.len(), |span| span.start);
        noted.push((at, error.message().to_owned()));
    }
    let (config, more) = top(document.get_ref());
    noted.extend(more);
    if noted.is_empty() {
        return Ok(config);
    }
    noted.sort();
    let mistakes = noted
        .into_iter()
        .map(|(at, said)| Mistake::at(text, at, said));
    let mut mistakes: Vec<_> = mistakes.collect();
    mistakes.dedup();
    Err(mistakes)
}

fn top<'t>(document: &'t DeTable<'t>) -> (Config, Noted) {
    let mut top = Section::new(document, 0);
    let mut noted = Noted::new();
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let owned = |texts: Vec<super::section::At<&str>>| {
        texts
            .into_iter()
            .map(|text| text.value.to_owned())
            .collect()
    };
    let mut shared = Shared {
        listen: top.address("listen").unwrap_or(local(8808)),
        http: local(0),
        admin: top.address("admin").unwrap_or(local(8809)),
        hosts: owned(top.strings("allowed_hosts")),
        origins: owned(top.strings("allowed_origins")),
    };
    if shared.listen == shared.admin && shared.listen.port() != 0 {
        let at = top.place("admin");
        top.say(
            at,
            format!(
                "`admin` is {}, as `listen`: name another port",
                shared.admin
            ),
        );
    }
    let mut web_apart = false;
    let gateway = web::gateway(&mut top, &mut noted, shared.listen, &mut web_apart);
    shared.http = gateway.listen;
    if gateway.listen == shared.admin && gateway.listen.port() != 0 {
        let at = top.place("http");
        top.say(
            at,
            format!(
                "`http.listen` is {}, as `admin`: name another port",
                gateway.listen
            ),
        );
    }
    let has_http = top.has("http");
    let mut config = Config {
        listen: shared.listen,
        admin: shared.admin,
        drain: top.time("drain").unwrap_or(DRAIN),
        drain_delay: top.pause("drain_delay").unwrap_or_default(),
        reuse_port: top.boolean("reuse_port").unwrap_or(false),
        keep_awake: top.boolean("keep_awake").unwrap_or(false),
        log: log(&mut top, &mut noted),
        upstreams: Vec::new(),
        web: None,
        web_apart,
    };
    let (mcp, routes) = upstreams(&mut top, &shared, &mut noted);
    if has_http && routes.is_empty() && noted.is_empty() && top.is_sound() {
        let at = top.place("http");
        top.say(
            at,
            "`http` is set, and no upstream is of kind \"http\": write one, or take [http] out",
        );
    }
    config.upstreams = mcp;
    config.web = (!routes.is_empty()).then_some(GatewayOptions { routes, ..gateway });
    noted.extend(top.finish(|_| None));
    (config, noted)
}

fn log(top: &mut Section<'_>, noted: &mut Noted) -> LogOptions {
    let mut options = LogOptions::default();
    let Some(found) = top.get("log") else {
        return options;
    };
    let DeValue::Table(table) = found.get_ref() else {
        top.say(
            found.span().start,
            "`log` is no table: write [log] and its keys below",
        );
        return options;
    };
    let mut section = Section::new(table, found.span().start);
    let levels = ["off", "error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    if let Some(level) = section.choice("level", &levels) {
        options.level = level.value.to_owned();
    }
    if let Some(access) = section.string("access") {
        options.access = match access.value {
            "off" => AccessLog::Off,
            "stdout" => AccessLog::Stdout,
            "stderr" => AccessLog::Stderr,
            path if path.contains('/') => AccessLog::File(PathBuf::from(path)),
            other => {
                let text = format!(
                    "`access`: \"{other}\" is unknown: write off, stdout, stderr or a path with a slash"
                );
                section.say(access.at, text);
                AccessLog::Off
            }
        };
    }
    noted.extend(section.finish(|_| None));
    options
}

type Upstreams = (Vec<UpstreamConfig>, Vec<RouteOptions>);

fn upstreams(top: &mut Section<'_>, shared: &Shared, noted: &mut Noted) -> Upstreams {
    const WRITE: &str = "write [[upstream]] above the keys of each";
    let Some(found) = top.get("upstream") else {
        top.say(0, format!("there is no upstream: {WRITE}"));
        return Upstreams::default();
    };
    let DeValue::Array(items) = found.get_ref() else {
        top.say(
            found.span().start,
            format!("`upstream` is no list of tables: {WRITE}"),
        );
        return Upstreams::default();
    };
    let (mut names, mut routes) = (HashSet::new(), HashMap::new());
    let (mut upstreams, mut plain) = Upstreams::default();
    for item in items {
        let at = item.span().start;
        let DeValue::Table(table) = item.get_ref() else {
            top.say(at, format!("an upstream is no table: {WRITE}"));
            continue;
        };
        let mut section = Section::new(table, at);
        let read = upstream::upstream(&mut section, shared);
        if !names.insert(read.name.clone()) {
            let at = section.place("name");
            section.say(
                at,
                format!(
                    "`name`: \"{}\" is the name of an upstream above, too: choose another",
                    read.name
                ),
            );
        }
        let key = (read.route.host.clone(), read.route.path.clone());
        if let Some(other) = routes.insert(key, read.name.clone()) {
            let at = section.place("path");
            let text = format!(
                "`path`: requests for {} go to upstream \"{other}\" already: give this one another `path` or `host`",
                read.route
            );
            section.say(at, text);
        }
        let kind = read.kind;
        noted.extend(section.finish(|key| upstream::elsewhere(key, kind)));
        match read.what {
            Some(What::Mcp(mut options)) => {
                // Whoever routes by a name wants it served.
                options.allowed_hosts.extend(read.route.host.clone());
                upstreams.push(UpstreamConfig {
                    name: read.name,
                    route: read.route,
                    options: *options,
                });
            }
            Some(What::Http(route)) => plain.push(*route),
            None => {}
        }
    }
    if items.is_empty() {
        top.say(found.span().start, format!("there is no upstream: {WRITE}"));
    }
    (upstreams, plain)
}
