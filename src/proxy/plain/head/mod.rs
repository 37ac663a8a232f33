//! Heads of HTTP/1 messages: read by a strict grammar, written anew.

mod fields;
mod framing;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use fields::{Field, field, is_forbidden_trailer};
pub use framing::{Framing, Said};
pub use request::{MOST_FIELDS, Request, Terms, checked_host, parse as parse_request, unclear};
pub use response::{Client, Response, parse as parse_response};
