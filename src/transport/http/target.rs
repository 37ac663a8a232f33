//! Where an upstream is, as a URL says it.

use hyper::Uri;
use hyper::header::HeaderValue;

use super::TargetError;

/// The host, port and path of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    uri: Uri,
    host: Box<str>,
    port: u16,
    authority: HeaderValue,
}

impl HttpTarget {
    /// Reads a URL such as `http://127.0.0.1:3000/mcp`; one with `https` where the feature `tls` is there.
    ///
    /// # Errors
    ///
    /// [`TargetError`] says what to write instead.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let uri: Uri = url.parse().map_err(|_| TargetError::NoUrl)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") if cfg!(feature = "tls") => true,
            Some("https") => return Err(TargetError::Https),
            _ => return Err(TargetError::NoUrl),
        };
        let authority = uri.authority().ok_or(TargetError::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        let bare = authority.host();
        let bare = bare
            .strip_prefix('[')
            .and_then(|bare| bare.strip_suffix(']'))
            .unwrap_or(bare);
        if bare.is_empty() {
            return Err(TargetError::NoUrl);
        }
        let named = HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::NoUrl)?;
        let (host, port) = (bare.into(), authority.port_u16());
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self {
            authority: named,
            host,
            port,
            uri,
        })
    }

    /// What a reference leads to that its server gave: a URL of the same origin, or a part of one, which is read as
    /// browsers do.
    ///
    /// # Errors
    ///
    /// [`TargetError::Foreign`] where it leads elsewhere; others where it is no URL.
    pub fn at(&self, reference: &str) -> Result<Self, TargetError> {
        let reference = reference.split('#').next().unwrap_or_default();
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let url = if has_scheme(reference) {
            reference.to_owned()
        } else if reference.starts_with("//") {
            format!("{scheme}:{reference}")
        } else {
            let (path, query) = match reference.find('?') {
                Some(at) => reference.split_at(at),
                None => (reference, ""),
            };
            let path = absolute(self.uri.path(), path);
            format!("{scheme}://{authority}{path}{query}")
        };
        let found = Self::parse(&url)?;
        let is_own = found.is_tls() == self.is_tls()
            && found.host.eq_ignore_ascii_case(&self.host)
            && found.port == self.port;
        is_own.then_some(found).ok_or(TargetError::Foreign)
    }

    /// The URL.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it asks for TLS.
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 80 where none was named, 443 for `https`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What goes into `Host`.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Path and query, as a request line has them.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

fn has_scheme(reference: &str) -> bool {
    let named = reference.split(['/', '?', ':']).next().unwrap_or_default();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    reference[named.len()..].starts_with(':') && named.bytes().all(is_letter)
}

/// A path as seen from another one.
fn absolute(base: &str, path: &str) -> String {
    let folder = match path {
        "" => return base.to_owned(),
        _ if path.starts_with('/') => "",
        _ => base.rsplit_once('/').map_or("", |(folder, _)| folder),
    };
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut kept: Vec<&str> = folder.split('/').skip(1).collect();
    let mut is_folder = false;
    for part in path.split('/') {
        is_folder = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(part),
        }
    }
    if is_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

impl std::fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}
