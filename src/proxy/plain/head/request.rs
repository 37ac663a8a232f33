//! The head of a request: read once, checked, written anew for the upstream.
//!
//! Promise: what is written means the same to every reader: one `Host`, one framing, no field of the
//! client's connection, and of what proxies say about the client only what this one knows.
//! Cost: one pass to read and one to write; nothing is allocated but what the output needs.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};

use super::fields::{
    Field, Nominated, field, has_whole_lines, hides_requests, push, push_number, push_parts,
};
use super::framing::{Framing, Said, Unclear};
use crate::proxy::plain::options::{HeadLimits, HostHeader};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::proxy::plain::table::{Route, Table};
use crate::proxy::watching::Context;

/// What a header table has room for: more than any limit allows.
pub const MOST_FIELDS: usize = 128;

/// What a connection knows of its client.
#[derive(Clone, Copy)]
pub struct Terms<'a, 't> {
    /// Its address, without the port.
    pub peer: &'a str,
    /// What was agreed on.
    pub limits: &'a HeadLimits,
    /// The routes.
    pub table: &'t Table,
}

/// What is known of a request once its head is written.
#[derive(Clone, Copy, Debug)]
pub struct Request<'t> {
    /// Where it goes.
    pub route: &'t Route,
    /// How long its head was.
    pub head_bytes: usize,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether it asks for the head of an answer only.
    pub is_head: bool,
    /// Whether a second time does no harm.
    pub is_idempotent: bool,
    /// Whether it is of HTTP/1.0.
    pub is_old: bool,
    /// Whether its connection stays.
    pub keep_alive: bool,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
    /// Whether its client may wait for a word before it sends the body.
    pub expects: bool,
    /// The proxy's part of its trace.
    pub trace: Context,
}

/// Reads the head at the start of `bytes` and appends what the upstream gets; `None`: there is more to
/// come.
///
/// # Errors
///
/// [`Refusal`]: the connection has to end, because nobody knows where the next request begins.
pub fn parse<'t>(
    bytes: &[u8],
    terms: &Terms<'_, 't>,
    to: &mut Vec<u8>,
) -> Result<Option<Request<'t>>, Refusal> {
    let limits = terms.limits;
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    let room = &mut room[..limits.max_fields.min(MOST_FIELDS)];
    let mut head = httparse::Request::new(&mut []);
    let head_bytes = match head.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return partial(bytes, limits).map(|()| None),
        Err(error) => return Err(refused(error, bytes)),
    };
    if head_bytes > limits.max_head_bytes {
        return Err(TOO_LONG);
    }
    if !has_whole_lines(&bytes[..head_bytes]) {
        return Err(Refusal::bad("a line does not end with CR LF"));
    }
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Err(Refusal::bad("this is no request line"));
    };
    let read = Read::of(method, target, version == 0, head.headers, limits)?;
    let Some(route) = terms.table.route(read.host, read.path) else {
        return Err(refusal::NO_ROUTE);
    };
    if route.is_left_by(read.path) {
        return Err(refusal::ESCAPES);
    }
    let trace = read.write(method, head.headers, route, terms, to);
    Ok(Some(Request {
        route,
        head_bytes,
        framing: read.framing,
        is_head: method == "HEAD",
        is_idempotent: matches!(
            method,
            "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE"
        ),
        is_old: read.is_old,
        keep_alive: match read.is_old {
            true => read.nominated.keep_alive && !read.nominated.close,
            false => !read.nominated.close,
        },
        upgrade: read.upgrade,
        expects: read.expects,
        trace,
    }))
}

const TOO_LONG: Refusal = Refusal::new(
    431,
    "the head of the request is longer than this proxy takes",
);

/// Whether more of an unfinished head is waited for.
fn partial(bytes: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    // Method and version beside the target.
    if line > limits.max_target_bytes + 64 {
        return Err(refusal::LONG_TARGET);
    }
    match bytes.len() >= limits.max_head_bytes {
        true => Err(TOO_LONG),
        false => Ok(()),
    }
}

fn refused(error: Error, bytes: &[u8]) -> Refusal {
    match error {
        Error::TooManyHeaders => refusal::TOO_MANY_FIELDS,
        Error::Version if names_version(bytes) => {
            Refusal::new(505, "this proxy speaks HTTP/1.0, h2 and HTTP/1.1")
        }
        Error::HeaderName => Refusal::bad("a header field has no valid name"),
        Error::HeaderValue => Refusal::bad("a header field has no valid value"),
        Error::NewLine => Refusal::bad("a line does not end with CR LF"),
        _ => Refusal::bad("this is no request line"),
    }
}

/// Whether the request line is one, and only its version another.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    words.len() == 3 && words[2].starts_with(b"HTTP/")
}

/// What a head says, all checks passed.
struct Read<'a> {
    host: &'a str,
    /// In origin form.
    path: &'a str,
    nominated: Nominated<'a>,
    framing: Framing,
    is_old: bool,
    upgrade: bool,
    trailers: bool,
    expects: bool,
    parent: Parent<'a>,
}

/// The trace that a request names.
#[derive(Clone, Copy)]
enum Parent<'a> {
    None,
    One(&'a [u8]),
    /// More than one, which is none.
    Several,
}

impl<'a> Read<'a> {
    fn of(
        method: &str,
        target: &'a str,
        is_old: bool,
        headers: &[Header<'a>],
        limits: &HeadLimits,
    ) -> Result<Self, Refusal> {
        if target.len() > limits.max_target_bytes {
            return Err(refusal::LONG_TARGET);
        }
        let (authority, path) = split_target(method, target)?;
        let mut read = Self {
            host: "",
            path,
            nominated: Nominated::default(),
            framing: Framing::Empty,
            is_old,
            upgrade: false,
            trailers: false,
            expects: false,
            parent: Parent::None,
        };
        let (said, host) = read.fields(headers)?;
        read.host = match (authority, host) {
            (Some(authority), _) => authority,
            (None, Some(host)) => host,
            (None, None) if is_old => "",
            (None, None) => return Err(refusal::NO_HOST),
        };
        let framing = said.framing(is_old, Framing::Empty).map_err(unclear)?;
        read.framing = framing;
        read.upgrade &= read.nominated.upgrade && !is_old && framing.is_empty();
        read.expects &= !is_old && !framing.is_empty();
        match framing {
            Framing::Length(length) if length > limits.max_body_bytes => Err(refusal::TOO_LARGE),
            _ => Ok(read),
        }
    }

    fn fields(&mut self, headers: &[Header<'a>]) -> Result<(Said, Option<&'a str>), Refusal> {
        let (mut said, mut host, mut hides) = (Said::default(), None, false);
        for header in headers {
            let value = header.value;
            match field(header.name) {
                Field::Other | Field::Hop | Field::Forwarded | Field::TraceState => {}
                Field::TraceParent => {
                    self.parent = match self.parent {
                        Parent::None => Parent::One(value),
                        _ => Parent::Several,
                    }
                }
                Field::Host if host.is_some() => {
                    return Err(Refusal::bad("there is more than one Host"));
                }
                Field::Host => host = Some(checked_host(value)?),
                Field::ContentLength => said.length(value).map_err(unclear)?,
                Field::TransferEncoding => said.coding(value).map_err(unclear)?,
                Field::Connection if self.nominated.read(value) => {}
                Field::Connection => return Err(Refusal::bad("Connection names too many fields")),
                Field::Expect if value.eq_ignore_ascii_case(b"100-continue") => self.expects = true,
                Field::Expect => return Err(refusal::UNEXPECTED),
                // Another protocol of this proxy's own is not agreed on behind its back.
                Field::Upgrade => {
                    hides |= hides_requests(value);
                    self.upgrade = true;
                }
                Field::Te => {
                    let mut codings = value.split(|byte| *byte == b',');
                    self.trailers |=
                        codings.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"trailers"));
                }
            }
        }
        self.upgrade &= !hides;
        Ok((said, host))
    }

    fn write(
        &self,
        method: &str,
        headers: &[Header<'_>],
        route: &Route,
        terms: &Terms<'_, '_>,
        to: &mut Vec<u8>,
    ) -> Context {
        let known = match self.parent {
            Parent::One(parent) => Context::after(parent),
            Parent::None | Parent::Several => None,
        };
        to.extend_from_slice(method.as_bytes());
        to.push(b' ');
        to.extend_from_slice(route.rewritten(self.path).as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
        let host = match &route.options.host_header {
            HostHeader::Client if !self.host.is_empty() => self.host,
            HostHeader::Client => route.upstream.authority(),
            HostHeader::Named(name) => name,
        };
        push_parts(to, b"host", host.as_bytes());
        for header in headers {
            let kept = match field(header.name) {
                Field::Other => !self.nominated.has(header.name),
                Field::Upgrade => self.upgrade,
                Field::Forwarded => terms.limits.trust_forwarded && !is_for(header.name),
                // It says something of a trace that is known.
                Field::TraceState => known.is_some(),
                _ => false,
            };
            if kept {
                push(to, header);
            }
        }
        let trace = known.unwrap_or_else(Context::begun);
        push_parts(to, b"traceparent", &trace.text());
        self.write_hop(to);
        self.write_forwarded(headers, terms, to);
        to.extend_from_slice(b"\r\n");
        trace
    }

    fn write_hop(&self, to: &mut Vec<u8>) {
        match (self.upgrade, self.trailers) {
            (true, _) => to.extend_from_slice(b"connection: upgrade\r\n"),
            (false, true) => to.extend_from_slice(b"te: trailers\r\nconnection: te\r\n"),
            (false, false) => {}
        }
        match self.framing {
            Framing::Length(length) => {
                to.extend_from_slice(b"content-length: ");
                push_number(to, length);
                to.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => to.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::Empty | Framing::Close => {}
        }
        if self.expects {
            to.extend_from_slice(b"expect: 100-continue\r\n");
        }
    }

    fn write_forwarded(&self, headers: &[Header<'_>], terms: &Terms<'_, '_>, to: &mut Vec<u8>) {
        to.extend_from_slice(b"x-forwarded-for: ");
        let (mut has_proto, mut has_host) = (false, false);
        if terms.limits.trust_forwarded {
            for header in headers {
                if is_for(header.name) {
                    to.extend_from_slice(header.value);
                    to.extend_from_slice(b", ");
                }
                has_proto |= header.name.eq_ignore_ascii_case("x-forwarded-proto");
                has_host |= header.name.eq_ignore_ascii_case("x-forwarded-host");
            }
        }
        to.extend_from_slice(terms.peer.as_bytes());
        to.extend_from_slice(b"\r\n");
        if !has_proto {
            to.extend_from_slice(b"x-forwarded-proto: http\r\n");
        }
        if !has_host && !self.host.is_empty() {
            push_parts(to, b"x-forwarded-host", self.host.as_bytes());
        }
    }
}

fn is_for(name: &str) -> bool {
    name.eq_ignore_ascii_case("x-forwarded-for")
}

/// What a client is told whose framing is refused.
pub fn unclear(unclear: Unclear) -> Refusal {
    match unclear {
        Unclear::Bad(reason) => Refusal::bad(reason),
        Unclear::Coding => Refusal::new(
            501,
            "the only Transfer-Encoding that this proxy knows is chunked",
        ),
    }
}

/// The authority, where the target names one, and the path.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), Refusal> {
    if method == "CONNECT" {
        return Err(refusal::NO_TUNNELS);
    }
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Err(refusal::UNESCAPED);
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    if target == "*" && method == "OPTIONS" {
        return Ok((None, target));
    }
    let scheme = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if scheme.is_none() {
        return Err(Refusal::bad("the target is neither a path nor an http URL"));
    }
    let rest = &target[7..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    checked_host(authority.as_bytes())?;
    match path {
        _ if authority.is_empty() => Err(Refusal::bad("the target names no host")),
        "" => Ok((Some(authority), "/")),
        path if path.starts_with('/') => Ok((Some(authority), path)),
        _ => Err(Refusal::bad("the target has no path")),
    }
}

/// A host that means the same to everybody.
pub fn checked_host(value: &[u8]) -> Result<&str, Refusal> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]%~".contains(byte);
    match std::str::from_utf8(value) {
        Ok(host) if value.iter().all(plain) => Ok(host),
        _ => Err(Refusal::bad("Host is not the name of a host")),
    }
}
