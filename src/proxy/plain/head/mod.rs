//! Heads of HTTP/1 messages: read by a strict grammar, written anew.

mod fields;
mod framing;
mod request;
mod response;

pub use fields::is_forbidden_trailer;
pub use framing::Framing;
pub use request::{Front, Request, parse as parse_request};
pub use response::{Client, Response, parse as parse_response};
