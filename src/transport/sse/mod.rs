//! Server-sent events, read: the parser, and the policy by which a stream that was lost is opened again.
//!
//! Promise: one policy for every path, without I/O of its own. Cost: one pass over the bytes; a line that
//! is whole in one piece is copied once.

mod parser;
mod reconnect;
#[cfg(test)]
mod tests;

pub use parser::{SseEvent, SseParser, TooLong};
pub use reconnect::{Reconnect, ReconnectOptions};
