//! What is read of a request's head before its body is looked at.
//!
//! Promise: a page of another site cannot talk to a proxy on this machine, whatever name it resolves
//! to: `Host` and `Origin` have to name the address that is listened on or an allowed one.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Request};

use super::{MODERN, Page, Reply};
use crate::proxy::session::EventId;
use crate::proxy::wire::{Code, Fault};

pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// What nearly every client sends as `Accept`; it is known without being taken apart.
const USUAL_ACCEPT: &str = "application/json, text/event-stream";
/// The header that carries the session id.
pub const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A protocol revision that is spoken here; ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2024-11-05
    V2024_11_05,
    /// 2025-03-26, the only one with batches.
    V2025_03_26,
    /// 2025-06-18
    V2025_06_18,
    /// 2025-11-25
    V2025_11_25,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
    ];
    /// The first.
    pub const OLDEST: Self = Self::V2024_11_05;
    /// The one that the proxy asks a child for that is nobody's in particular.
    pub const LATEST: Self = Self::V2025_11_25;

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// Reads it; `None` if it is not spoken here.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

/// All revisions as they are written, newest first.
const SPOKEN: [&str; 5] = [
    MODERN,
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
];

/// What a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// A JSON body.
    pub json: bool,
    /// An event stream.
    pub stream: bool,
}

/// Reads `Accept`. A client that sends none, or only wildcards, gets JSON: it did not ask for a stream.
pub fn accepts(headers: &HeaderMap) -> Accepts {
    if headers
        .get(ACCEPT)
        .is_some_and(|value| value == USUAL_ACCEPT)
    {
        return Accepts {
            json: true,
            stream: true,
        };
    }
    let mut found = Accepts {
        json: !headers.contains_key(ACCEPT),
        stream: false,
    };
    let ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for range in ranges {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        if refused(parameters) {
            continue;
        }
        let kind = kind.trim();
        found.json |= ["application/json", "application/*", "*/*"]
            .iter()
            .any(|name| kind.eq_ignore_ascii_case(name));
        found.stream |= ["text/event-stream", "text/*"]
            .iter()
            .any(|name| kind.eq_ignore_ascii_case(name));
    }
    found
}

/// Whether the parameters hold a weight of zero.
fn refused(parameters: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let weight = parameter
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok());
        weight == Some(0.0)
    })
}

/// Checks that the body is said to be JSON.
///
/// # Errors
///
/// [`Code::WrongMediaType`].
pub fn check_json(headers: &HeaderMap) -> Result<(), Fault> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Fault::new(
        Code::WrongMediaType,
        "send the message with `Content-Type: application/json`",
    ))
}

/// The session id that a request carries.
///
/// # Errors
///
/// [`Code::BadHeader`] if there are two, or it is not visible ASCII.
pub fn session_id(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let Some(value) = single(headers, &SESSION)? else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) => {
            Ok(Some(text))
        }
        _ => Err(Fault::new(
            Code::BadHeader,
            "`Mcp-Session-Id` has to be visible ASCII",
        )),
    }
}

/// The event after which a client comes back to its stream.
pub fn last_event(headers: &HeaderMap) -> Option<EventId> {
    EventId::parse(headers.get("last-event-id")?.to_str().ok()?.trim())
}

/// The revision that a request names, if it is spoken here; else it has to be the one that its session agreed on.
///
/// # Errors
///
/// [`Code::UnsupportedVersion`] if it is neither, [`Code::BadHeader`] if there are two.
pub fn version(headers: &HeaderMap, agreed: Option<&str>) -> Result<Option<Version>, Fault> {
    let Some(value) = single(headers, &VERSION)? else {
        return Ok(None);
    };
    let named = value.to_str().ok();
    match named.and_then(Version::parse) {
        None if named.is_none() || named != agreed => Err(unspoken("`MCP-Protocol-Version`")),
        version => Ok(version),
    }
}

/// The refusal of a revision that is named there.
pub(super) fn unspoken(place: &str) -> Fault {
    let spoken = SPOKEN.join(", ");
    let text = format!("unsupported protocol version in {place} (supported versions: {spoken})");
    Fault {
        supported: &SPOKEN,
        ..Fault::new(Code::UnsupportedVersion, text)
    }
}

pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Fault::new(
            Code::BadHeader,
            format!("`{name}` appears twice; send it once"),
        ));
    }
    Ok(first)
}

/// Which names of this server and of web pages are let in.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    loopback_only: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl HostPolicy {
    /// The policy of a listening address: on loopback only loopback names are let in and those named; elsewhere
    /// addresses, and any name where none is named.
    pub fn new(listen: SocketAddr, hosts: &[String], origins: &[String]) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            loopback_only: listen.ip().is_loopback(),
            hosts: lower(hosts),
            origins: lower(origins),
        }
    }

    /// Checks `Host` and `Origin`; the page that asks, if the configuration names its origin.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] for a name that is not let in, [`Code::BadHeader`] for an unreadable one.
    pub fn check(&self, headers: &HeaderMap) -> Result<Option<Page>, Fault> {
        let Some(host) = single(headers, &HOST)? else {
            return Err(Fault::new(Code::BadHeader, "`Host` is missing"));
        };
        let host = host.to_str().unwrap_or("").to_ascii_lowercase();
        if !self.lets_host(&host) {
            return Err(Fault::new(
                Code::Forbidden,
                "this `Host` is not served here",
            ));
        }
        let Some(named) = single(headers, &ORIGIN)? else {
            return Ok(None);
        };
        let origin = named.to_str().unwrap_or("").to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return Ok(Some(Page::of(named)));
        }
        if self.lets_origin(&origin, &host) {
            return Ok(None);
        }
        Err(Fault::new(
            Code::Forbidden,
            "pages of this `Origin` are not let in",
        ))
    }

    /// What comes of a request before anybody serves it: the page that may read its reply, and the reply where there is
    /// one already.
    pub fn enter<B>(&self, request: &Request<B>) -> (Option<Page>, Option<Result<Reply, Fault>>) {
        match self.check(request.headers()) {
            Ok(page) => {
                let preflight = page.as_ref().and_then(|page| page.preflight(request));
                (page, preflight.map(Ok))
            }
            Err(fault) => (None, Some(Err(fault))),
        }
    }

    fn lets_host(&self, host: &str) -> bool {
        let is_any = !self.loopback_only && self.hosts.is_empty();
        self.is_sure(host) || (is_any && !host_name(host).is_empty())
    }

    /// Whether nobody else can have this name lead here, as one can who owns a name on the internet.
    fn is_sure(&self, host: &str) -> bool {
        let name = host_name(host);
        let is_named = |known: &String| known == host || known == name;
        is_loopback(name)
            || (!self.loopback_only && bare(name).parse::<IpAddr>().is_ok())
            || (!name.is_empty() && self.hosts.iter().any(is_named))
    }

    /// Whether a page may ask that the configuration does not name.
    fn lets_origin(&self, origin: &str, host: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        if !matches!(scheme, "http" | "https") || authority.contains(['/', '@']) {
            return false;
        }
        // A page may talk to the server that it came from; on loopback any local page may.
        (self.loopback_only && is_loopback(host_name(authority)))
            || (authority == host && self.is_sure(host))
    }
}

/// The name without its port.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host
            .split_once(']')
            .map_or("", |(name, _)| &host[..=name.len()]);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// An address without its brackets.
fn bare(name: &str) -> &str {
    let inner = name.strip_prefix('[');
    inner
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name)
}

fn is_loopback(name: &str) -> bool {
    let address = bare(name).parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
