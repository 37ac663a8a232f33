//! The keys of one upstream.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::read::Shared;
use super::section::Section;
use super::{program, web};
use crate::proxy::options::{
    HttpUpstream, MAX_IN_FLIGHT, Mode, RouteMatch, ServeOptions, Upstream,
};
use crate::proxy::plain::RouteOptions;
use crate::resilience::BreakerOptions;
use crate::transport::Command;

/// What an upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An MCP server as a child process.
    Stdio,
    /// An MCP server over HTTP.
    McpHttp,
    /// A plain HTTP server.
    Http,
}

const KINDS: [(&str, Kind); 3] = [
    ("mcp-stdio", Kind::Stdio),
    ("mcp-http", Kind::McpHttp),
    ("http", Kind::Http),
];

const MCP: &[Kind] = &[Kind::Stdio, Kind::McpHttp];
const STDIO: &[Kind] = &[Kind::Stdio];
const MCP_HTTP: &[Kind] = &[Kind::McpHttp];
const URL: &[Kind] = &[Kind::McpHttp, Kind::Http];
const HTTP: &[Kind] = &[Kind::Http];

/// Keys that do not fit every kind.
const OWN: [(&str, &[Kind]); 21] = [
    ("command", STDIO),
    ("env", STDIO),
    ("directory", STDIO),
    ("max_line_bytes", STDIO),
    ("url", URL),
    ("headers", MCP_HTTP),
    ("mode", MCP),
    ("min_idle", MCP),
    ("max_uses", MCP),
    ("max_lifetime", MCP),
    ("max_in_flight", MCP),
    ("max_sessions", MCP),
    ("max_replay_bytes", MCP),
    ("max_body_bytes", MCP),
    ("session_idle", MCP),
    ("probe_interval", MCP),
    ("probe_patience", MCP),
    ("h2", HTTP),
    ("strip_prefix", HTTP),
    ("host_header", HTTP),
    ("idle_timeout", HTTP),
];

/// What an upstream is made from.
pub enum What {
    /// MCP, whatever it is spoken over.
    Mcp(Box<ServeOptions>),
    /// Plain HTTP.
    Http(Box<RouteOptions>),
}

/// What was read of an upstream; `what` only if it was whole.
pub struct Read {
    /// Its name.
    pub name: String,
    /// Which requests go to it.
    pub route: RouteMatch,
    /// What it is, if that is known.
    pub kind: Option<Kind>,
    /// The rest.
    pub what: Option<What>,
}

/// Says of a key that does not fit this kind which one it fits.
pub fn elsewhere(key: &str, kind: Option<Kind>) -> Option<String> {
    let (_, fits) = OWN.iter().find(|(own, _)| *own == key)?;
    if fits.contains(&kind?) {
        return None;
    }
    let named = KINDS.iter().filter(|(_, known)| fits.contains(known));
    let names: Vec<_> = named.map(|(name, _)| format!("\"{name}\"")).collect();
    Some(format!(
        "`{key}` is for kind {} only: take it out",
        names.join(" and ")
    ))
}

/// Reads one upstream.
pub fn upstream(section: &mut Section<'_>, shared: &Shared) -> Read {
    let name = section.string("name");
    let kind = section.choice("kind", &KINDS).map(|kind| kind.value);
    for (key, wanted) in [
        ("name", "a name that logs and pages show"),
        ("kind", "\"mcp-stdio\", \"mcp-http\" or \"http\""),
    ] {
        if !section.has(key) {
            section.say(
                section.at,
                format!("this upstream has no `{key}`: write {wanted}"),
            );
        }
    }
    if let Some(name) = &name
        && (name.value.is_empty() || !name.value.chars().all(is_plain))
    {
        section.say(
            name.at,
            "`name`: write letters, digits, `-`, `_` and `.` only",
        );
    }
    let route = route(section, kind);
    let name = name.map_or_else(
        || format!("at {}", section.at),
        |name| name.value.to_owned(),
    );
    let what = match kind {
        Some(Kind::Http) => web::route(section, &name, &route, shared.http)
            .map(Box::new)
            .map(What::Http),
        _ => mcp(section, shared, kind).map(Box::new).map(What::Mcp),
    };
    Read {
        name,
        route,
        kind,
        what,
    }
}

fn mcp(section: &mut Section<'_>, shared: &Shared, kind: Option<Kind>) -> Option<ServeOptions> {
    let upstream = match kind {
        Some(Kind::Stdio) => stdio(section).map(Upstream::Stdio),
        Some(Kind::McpHttp) => over_http(section).map(Upstream::Http),
        _ => {
            // What is said of the kind is enough: its keys are not unknown.
            for (key, _) in OWN {
                let _ = section.get(key);
            }
            None
        }
    };
    let mode = mode(section, kind);
    let stand_in = Upstream::Stdio(Command::new("none"));
    let is_whole = upstream.is_some();
    let base = ServeOptions {
        listen: shared.listen,
        admin: shared.admin,
        allowed_hosts: shared.hosts.clone(),
        allowed_origins: shared.origins.clone(),
        ..ServeOptions::new(upstream.unwrap_or(stand_in), mode)
    };
    let options = limits(section, base);
    if section.is_sound()
        && let Err(reason) = options.check()
    {
        section.say(section.at, reason);
    }
    is_whole.then_some(options)
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

fn route(section: &mut Section<'_>, kind: Option<Kind>) -> RouteMatch {
    let mut route = RouteMatch::default();
    if kind == Some(Kind::Http) {
        route.path = String::from("/");
    }
    if let Some(path) = section.string("path") {
        match RouteMatch::trimmed(path.value) {
            None => section.say(
                path.at,
                format!(
                    "`path`: \"{}\" is no path: write one such as \"/mcp\"",
                    path.value
                ),
            ),
            Some("") if kind == Some(Kind::Http) => route.path = String::from("/"),
            Some("") => section.say(
                path.at,
                "`path`: MCP is spoken at one path: write one such as \"/mcp\"",
            ),
            Some(trimmed) => route.path = trimmed.to_owned(),
        }
    }
    if let Some(host) = section.string("host") {
        route.host = RouteMatch::lowered(host.value);
        if route.host.is_none() {
            section.say(host.at, format!("`host`: \"{}\" is no name of a host: write one without port, such as \"tools.example\"", host.value));
        }
    }
    route
}

fn mode(section: &mut Section<'_>, kind: Option<Kind>) -> Mode {
    let modes = [
        Mode::Session,
        Mode::Exclusive,
        Mode::Shared,
        Mode::Stateless,
        Mode::Oneshot,
    ];
    let Some(mode) = section.choice("mode", &modes.map(|mode| (mode.as_str(), mode))) else {
        return Mode::Session;
    };
    if mode.value == Mode::Oneshot && kind == Some(Kind::McpHttp) {
        section.say(mode.at, "`mode`: oneshot is for programs that answer once: write another, or kind \"mcp-stdio\"");
        return Mode::Session;
    }
    mode.value
}

fn stdio(section: &mut Section<'_>) -> Option<Command> {
    if !section.has("command") {
        section.say(
            section.at,
            "this upstream has no `command`: write the one that starts the server",
        );
    }
    let command = section.read("command", |value| match value {
        DeValue::Array(words) => {
            let words: Option<Vec<&str>> =
                words.iter().map(|word| word.get_ref().as_str()).collect();
            let words = words.ok_or("each word of the list has to be a string")?;
            let (program, args) = words
                .split_first()
                .filter(|(program, _)| !program.is_empty())
                .ok_or("the list names no program")?;
            Ok(Command::new(program).args(args))
        }
        DeValue::String(line) => Command::parse(line).map_err(|error| error.to_string()),
        _ => Err(String::from("write a string or a list of strings")),
    });
    let directory = section.string("directory");
    let directory = directory.filter(|directory| {
        let exists = PathBuf::from(directory.value).is_dir();
        if !exists {
            section.say(
                directory.at,
                format!("`directory`: there is no directory \"{}\"", directory.value),
            );
        }
        exists
    });
    let variables = section.pairs("env");
    let line = section.number("max_line_bytes", 1024..=1 << 30);
    let command = command?;
    let from = directory.map(|directory| PathBuf::from(directory.value));
    if let Some(text) = program::missing(command.value.program(), from.as_deref()) {
        section.say(command.at, format!("`command`: {text}"));
    }
    let mut command = command.value;
    if let Some(from) = from {
        command = command.current_dir(from);
    }
    if let Some(line) = line {
        command = command.max_line_bytes(usize::try_from(line.value).unwrap_or(usize::MAX));
    }
    for (name, value) in variables {
        if name.value.is_empty() || name.value.contains(['=', '\0']) || value.contains('\0') {
            section.say(
                name.at,
                format!("`env`: `{}` cannot be a variable", name.value),
            );
        } else {
            command = command.env(name.value, value);
        }
    }
    Some(command)
}

fn over_http(section: &mut Section<'_>) -> Option<HttpUpstream> {
    if !section.has("url") {
        section.say(
            section.at,
            "this upstream has no `url`: write one such as \"http://127.0.0.1:3000/mcp\"",
        );
    }
    let url = section.string("url");
    let headers = section.pairs("headers");
    let url = url?;
    let mut upstream = match HttpUpstream::parse(url.value) {
        Ok(upstream) => upstream,
        Err(error) => {
            section.say(url.at, format!("`url`: \"{}\": {error}", url.value));
            return None;
        }
    };
    for (name, value) in headers {
        let header = upstream.clone().header(name.value, value);
        match header.check_headers() {
            Ok(()) => upstream = header,
            Err(text) => section.say(name.at, format!("`headers`: {text}")),
        }
    }
    Some(upstream)
}

fn limits(section: &mut Section<'_>, mut options: ServeOptions) -> ServeOptions {
    counts(section, &mut options);
    times(section, &mut options);
    guards(section, &mut options);
    let children = options.children();
    if section.has("min_idle") && options.min_idle > children {
        let at = section.place("min_idle");
        section.say(
            at,
            format!(
                "`min_idle` is {}, above `max_connections`, which is {children}: lower it",
                options.min_idle
            ),
        );
    }
    options.min_idle = options.min_idle.min(children);
    recycling(section, &mut options);
    options
}

/// When a child that works makes way for another one.
fn recycling(section: &mut Section<'_>, options: &mut ServeOptions) {
    options.max_lifetime = section.time("max_lifetime").or(options.max_lifetime);
    let Some(uses) = section.number("max_uses", 1..=u64::MAX >> 1) else {
        return;
    };
    match options.mode {
        Mode::Session | Mode::Oneshot => {
            let text = "`max_uses` is for modes that use a child again: take it out, or write mode \"exclusive\", \"shared\" or \"stateless\"";
            section.say(uses.at, text);
        }
        _ => options.max_uses = Some(uses.value),
    }
}

fn counts(section: &mut Section<'_>, options: &mut ServeOptions) {
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    if let Some(read) = section.number("max_connections", 1..=65_535) {
        options.max_connections = Some(count(read.value));
    }
    if let Some(read) = section.number("min_idle", 0..=65_535) {
        options.min_idle = count(read.value);
    }
    if let Some(read) = section.number("max_in_flight", 1..=MAX_IN_FLIGHT as u64) {
        options.max_in_flight = size(read.value);
    }
    if let Some(read) = section.number("max_sessions", 1..=10_000_000) {
        options.max_sessions = size(read.value);
    }
    if let Some(read) = section.number("max_replay_bytes", 0..=1 << 50) {
        options.max_replay_bytes = size(read.value);
    }
    if let Some(read) = section.number("max_body_bytes", 1024..=1 << 30) {
        options.max_body_bytes = size(read.value);
    }
}

fn times(section: &mut Section<'_>, options: &mut ServeOptions) {
    let mut set = |key: &'static str, to: &mut Duration| *to = section.time(key).unwrap_or(*to);
    set("connect_timeout", &mut options.connect_timeout);
    set("acquire_timeout", &mut options.acquire_timeout);
    set("request_timeout", &mut options.request_timeout);
    set("response_timeout", &mut options.response_timeout);
    set("response_cap", &mut options.response_cap);
    set("call_timeout", &mut options.call_timeout);
    set("session_idle", &mut options.session_idle);
}

fn guards(section: &mut Section<'_>, options: &mut ServeOptions) {
    let mut set = |key: &'static str, to: &mut Duration| *to = section.time(key).unwrap_or(*to);
    set("probe_interval", &mut options.probe.interval);
    set("probe_patience", &mut options.probe.patience);
    breaker(section, &mut options.breaker);
}

/// When the circuit breaker of an upstream opens.
pub fn breaker(section: &mut Section<'_>, breaker: &mut BreakerOptions) {
    breaker.cooldown = section.time("breaker_cooldown").unwrap_or(breaker.cooldown);
    breaker.longest_cooldown = breaker.longest_cooldown.max(breaker.cooldown);
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    if let Some(read) = section.number("breaker_failures", 1..=1_000_000) {
        breaker.failures = count(read.value);
    }
    if let Some(read) = section.number("breaker_percent", 1..=100) {
        breaker.failure_percent = count(read.value);
    }
}
