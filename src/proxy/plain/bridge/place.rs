//! Where a request goes that hyper read, if it is one.
//!
//! Promise: of the host, the path, the lengths and the number of fields the same holds as in HTTP/1.1.

use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Uri, Version};

use crate::proxy::plain::head::{Said, checked_host, unclear};
use crate::proxy::plain::options::{HeadLimits, HostHeader};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::proxy::plain::shared::Rules;
use crate::proxy::plain::table::Route;

/// A request's place.
pub struct Placed<'r> {
    pub route: &'r Route,
    pub host: String,
    path: String,
}

impl<'r> Placed<'r> {
    /// Finds the route of a request.
    pub fn of(request: &Request<Incoming>, rules: &'r Rules) -> Result<Self, Refusal> {
        if request.method() == Method::CONNECT {
            return Err(refusal::NO_TUNNELS);
        }
        check_fields(request, &rules.limits)?;
        let host = host_of(request)?.to_owned();
        let path = path_of(request, &rules.limits)?.to_owned();
        let route = rules.routes.route(&host, &path).ok_or(refusal::NO_ROUTE)?;
        match route.is_left_by(&path) {
            true => Err(refusal::ESCAPES),
            false => Ok(Self { route, host, path }),
        }
    }

    /// Points the request at its upstream.
    pub fn aim(&self, head: &mut Parts) -> Result<(), Refusal> {
        let named: &str = match &self.route.options.host_header {
            HostHeader::Client if !self.host.is_empty() => &self.host,
            HostHeader::Client => self.route.upstream.authority(),
            HostHeader::Named(name) => name,
        };
        let bad = |_| Refusal::bad("the target is not a path");
        let path = self.route.rewritten(&self.path);
        if self.route.upstream.options.h2 {
            head.headers.remove(HOST);
            head.version = Version::HTTP_2;
            let built = Uri::builder().scheme("http").authority(named);
            head.uri = built.path_and_query(&*path).build().map_err(bad)?;
        } else {
            let host = HeaderValue::from_str(named)
                .map_err(|_| Refusal::bad("Host is not the name of a host"))?;
            head.headers.insert(HOST, host);
            head.version = Version::HTTP_11;
            head.uri = Uri::builder().path_and_query(&*path).build().map_err(bad)?;
        }
        Ok(())
    }
}

fn check_fields(request: &Request<Incoming>, limits: &HeadLimits) -> Result<(), Refusal> {
    let fields = request.headers();
    if fields.len() > limits.max_fields {
        return Err(refusal::TOO_MANY_FIELDS);
    }
    let mut said = Said::default();
    for length in fields.get_all(CONTENT_LENGTH) {
        said.length(length.as_bytes()).map_err(unclear)?;
    }
    let mut expected = fields.get_all(EXPECT).iter();
    if !expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(refusal::UNEXPECTED);
    }
    match request.body().size_hint().lower() > limits.max_body_bytes {
        true => Err(refusal::TOO_LARGE),
        false => Ok(()),
    }
}

/// The one host that a request names; in HTTP/1.0 it may name none.
fn host_of(request: &Request<Incoming>) -> Result<&str, Refusal> {
    let mut named = request.headers().get_all(HOST).iter();
    let (first, authority) = (named.next(), authority(request.uri()));
    if named.next().is_some() {
        return Err(Refusal::bad("there is more than one Host"));
    }
    let first = first.map(HeaderValue::as_bytes);
    if request.version() <= Version::HTTP_10 && authority.or(first).is_none() {
        return Ok("");
    }
    // In HTTP/1.1 the target has the last word (RFC 9112, 3.2.2), in h2 both have to say the same (RFC 9113, 8.3.1).
    if request.version() == Version::HTTP_2
        && let (Some(one), Some(other)) = (authority, first)
        && !one.eq_ignore_ascii_case(other)
    {
        return Err(Refusal::bad("Host and :authority name different hosts"));
    }
    checked_host(authority.or(first).ok_or(refusal::NO_HOST)?)
}

/// What the target says of the host.
pub fn authority(uri: &Uri) -> Option<&[u8]> {
    uri.authority()
        .map(|authority| authority.as_str().as_bytes())
}

fn path_of<'r>(request: &'r Request<Incoming>, limits: &HeadLimits) -> Result<&'r str, Refusal> {
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    if path.len() > limits.max_target_bytes {
        return Err(refusal::LONG_TARGET);
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refusal::UNESCAPED);
    }
    let is_all = path == "*" && request.method() == Method::OPTIONS;
    match path.starts_with('/') || is_all {
        true => Ok(path),
        false => Err(Refusal::bad("the target is not a path")),
    }
}
