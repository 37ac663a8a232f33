//! The routes: which request goes to which upstream.
//!
//! Promise: a route that names the host goes before one that does not, then the longest prefix; a prefix
//! ends where a segment of the path does.
//! Cost: a comparison a route; few have more than some dozens.

use std::borrow::Cow;

use super::lanes::Upstream;
use super::options::RouteOptions;
use crate::sync::Arc;

/// All routes, the one that fits best first.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Route>,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// What it was made from.
    pub options: RouteOptions,
    /// Where it leads.
    pub upstream: Arc<Upstream>,
}

impl Table {
    /// A table of these routes.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| {
            let options = &route.options;
            (options.host.is_none(), usize::MAX - options.prefix.len())
        });
        Self { routes }
    }

    /// The route of a request.
    pub fn route(&self, host: &str, path: &str) -> Option<&Route> {
        let bare = bare(host);
        self.routes.iter().find(|route| route.fits(bare, path))
    }

    /// What the routes were made from.
    pub fn options(&self) -> Vec<RouteOptions> {
        let routes = self.routes.iter();
        routes.map(|route| route.options.clone()).collect()
    }

    /// The upstreams, each once.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let mut each: Vec<Arc<Upstream>> = Vec::new();
        for route in &self.routes {
            if !each.iter().any(|known| Arc::ptr_eq(known, &route.upstream)) {
                each.push(route.upstream.clone());
            }
        }
        each
    }
}

impl Route {
    fn fits(&self, host: &str, path: &str) -> bool {
        let RouteOptions {
            host: named,
            prefix,
            ..
        } = &self.options;
        if let Some(named) = named
            && !named.eq_ignore_ascii_case(host)
        {
            return false;
        }
        match path.strip_prefix(prefix.as_str()) {
            Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?']),
            None => prefix == "/", // `*`
        }
    }

    /// Whether a path goes up, as some readers read it, and so may mean what this route does not lead to.
    pub fn is_left_by(&self, path: &str) -> bool {
        self.options.prefix.len() > 1 && goes_up(path)
    }

    /// The path as the upstream sees it.
    pub fn rewritten<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let prefix = &self.options.prefix;
        let rest = match path {
            "*" => None,
            path => path.strip_prefix(prefix.trim_end_matches('/')),
        };
        match rest.filter(|_| self.options.strip_prefix) {
            None => Cow::Borrowed(path),
            Some(rest) if rest.starts_with('/') => Cow::Borrowed(rest),
            Some(rest) => Cow::Owned(format!("/{rest}")),
        }
    }
}

/// Whether a segment is `..`, in whatever way its dots and slashes are written.
fn goes_up(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let mut plain = path.to_ascii_lowercase().replace("%2e", ".");
    for slash in ["%2f", "%5c", "\\"] {
        plain = plain.replace(slash, "/");
    }
    // What comes after `;` is a parameter of its segment to some.
    let mut segments = plain.split('/').map(|one| one.split(';').next());
    segments.any(|segment| segment == Some(".."))
}

/// A host without its port.
pub fn bare(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    }
}
