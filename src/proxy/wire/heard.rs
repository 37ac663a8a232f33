//! A line of a server, read once for whoever takes it.
//!
//! Promise: a message is passed on as it came, but for bytes that are no UTF-8; of a line that is none, it is told whom
//! it leaves without an answer. Cost: a counted reference; a second look at lines alone that are no message.

use bytes::Bytes;

use super::broken::broken_answer;
use super::envelope::legible;
use super::{Envelope, EnvelopeError, Fault, RequestId, parse};

/// Gives a line of a server to `on_message`; where it is no message, the request that it was meant to answer goes to
/// `on_none`.
pub fn hear(
    line: Bytes,
    on_message: impl FnOnce(Bytes, &Envelope<'_>),
    on_none: impl FnOnce(Option<(RequestId, Fault)>),
) {
    let copy = line.clone();
    match parse(&copy) {
        Ok(message) => on_message(line, &message),
        Err(error) => hear_slow(&copy, &error, on_message, on_none),
    }
}

#[cold]
fn hear_slow(
    line: &[u8],
    error: &EnvelopeError,
    on_message: impl FnOnce(Bytes, &Envelope<'_>),
    on_none: impl FnOnce(Option<(RequestId, Fault)>),
) {
    match legible(line) {
        Some(line) => hear(line, on_message, on_none),
        None => on_none(broken_answer(line, error)),
    }
}
