//! HTTP/1.1 to one upstream, over pooled connections; with the feature `tls` over TLS, too, and HTTP/2 where
//! the upstream prefers it: one exchange at a time on each connection all the same.
//!
//! Promise: a connection that died while it was idle carries no request; an exchange that is dropped before
//! the end of its answer costs its connection, so that no answer reaches the next caller; a request is sent
//! a second time only if not a byte of it was written the first time.
//! Cost: an acquire and a release of the pool an exchange; one small task a connection.

mod body;
mod client;
mod connection;
mod error;
mod sender;
mod target;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

pub use body::HttpBody;
pub use client::{HttpClient, HttpOptions, HttpRequest};
pub use error::{HttpError, TargetError};
pub use target::HttpTarget;
