//! What can go wrong between here and an upstream.

use std::error::Error;
use std::fmt;

use crate::AcquireError;

/// Why an exchange has no answer, or only a part of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection: nothing was sent.
    NoConnection(AcquireError),
    /// The upstream took the connection and closed it: nothing was sent.
    Dropped,
    /// The connection broke off, or what came was no HTTP. The request may have been seen.
    Broken {
        /// What hyper said.
        source: hyper::Error,
        /// Whether the connection had carried a request before: it may have been closed for its age.
        reused: bool,
    },
    /// The answer is longer than was asked for.
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(source) => write!(f, "no connection to the upstream: {source}"),
            Self::Dropped => f.write_str("the upstream takes connections and closes them"),
            Self::Broken { source, .. } => {
                write!(f, "the connection to the upstream broke off: {source}")
            }
            Self::TooLong { limit } => {
                write!(f, "the upstream's answer is longer than {limit} bytes")
            }
        }
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoConnection(source) => Some(source),
            Self::Broken { source, .. } => Some(source),
            Self::Dropped | Self::TooLong { .. } => None,
        }
    }
}

/// Why a text names no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no URL with a scheme and a host.
    NoUrl,
    /// It asks for TLS, and this build has none.
    Https,
    /// It holds a user or a password.
    UserInfo,
    /// It leads to another origin than the one that it came from.
    Foreign,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUrl => "write a URL such as http://127.0.0.1:3000/mcp",
            Self::Https => {
                "https is not spoken by this build: build with the feature `tls`, or name an http URL"
            }
            Self::UserInfo => "a URL with a user in it is not taken: send a header instead",
            Self::Foreign => "it leads to another origin",
        })
    }
}

impl Error for TargetError {}
