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

impl std::fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}
