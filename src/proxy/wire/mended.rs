//! Lines of a server that are no message as they are, and yet leave no doubt what is meant.
//!
//! Promise: what is mended reads the same to every client, the strictest included, and is not mended twice.
//! Cost: a second pass over the line; it is paid for lines alone that are no message.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::envelope::{EnvelopeError, Members, first_byte};
use super::splice::Splice;

/// The line as other readers take it; `None`: it is none that they would take.
///
/// Bytes that are no UTF-8 are replaced. A null `error` beside a result, or the other way round, as old servers write
/// it, is left out: clients that check the shape of an answer know no message with both.
pub fn mended(line: &[u8], error: &EnvelopeError) -> Option<Bytes> {
    if first_byte(line) != Some(b'{') {
        return None;
    }
    match (String::from_utf8_lossy(line), error) {
        (Cow::Owned(text), _) => Some(text.into()),
        (Cow::Borrowed(text), EnvelopeError::NotMessage(_)) => without_null(text),
        _ => None,
    }
}

fn without_null(text: &str) -> Option<Bytes> {
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    let (result, error) = (members.result?, members.error?);
    let is_null = |member: &RawValue| member.get() == "null";
    if members.method.is_some() || is_null(result) == is_null(error) {
        return None;
    }
    let null = if is_null(result) { result } else { error };
    let value = null.get().as_ptr() as usize - text.as_ptr() as usize;
    // No spelling of its name has a quote in it.
    let colon = text[..value].rfind(':')?;
    let name = text[..text[..colon].rfind('"')?].rfind('"')?;
    let end = value + null.get().len();
    let rest = text[end..].trim_ascii_start();
    let span = match rest.strip_prefix(',') {
        Some(rest) => name..text.len() - rest.len(),
        // It is the last one, and not the only one.
        None => text[..name].rfind(',')?..end,
    };
    Some(Splice::one(span, b"").apply(text.as_bytes()))
}
