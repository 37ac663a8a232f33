//! Heads of HTTP/1 messages: read by a strict grammar, written anew.

mod fields;
mod framing;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use fields::is_forbidden_trailer;
pub use framing::Framing;
pub use request::{Front, MOST_FIELDS, Request, checked_host, parse as parse_request};
pub use response::{Client, Response, parse as parse_response};
