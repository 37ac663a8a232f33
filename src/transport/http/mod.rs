//! HTTP/1.1 to one upstream, over pooled connections.
//!
//! Promise: a connection that died while it was idle carries no request; an exchange that is dropped before
//! the end of its answer costs its connection, so that no answer reaches the next caller; a request is sent
//! a second time only if not a byte of it was written the first time.
//! Cost: an acquire and a release of the pool an exchange; one small task a connection.

mod body;
mod client;
mod connection;
mod error;
mod target;
#[cfg(test)]
mod tests;

pub use body::HttpBody;
pub use client::{HttpClient, HttpOptions, HttpRequest};
pub use error::{HttpError, TargetError};
pub use target::HttpTarget;
