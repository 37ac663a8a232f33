//! The envelope of one message: id, method and where they stand in its bytes.
//!
//! Promise: the whole message was validated as JSON and as UTF-8, so that its bytes can be passed on
//! as one line; a key that appears twice is refused, because two readers could see two messages.
//! Cost: one pass over the bytes; allocates only for a method with escapes.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::RequestId;

/// One JSON-RPC message, borrowed from its bytes.
#[derive(Debug)]
pub struct Envelope<'a> {
    source: &'a str,
    /// Request, notification or response.
    pub kind: Kind<'a>,
    /// The raw `params`, if there are any.
    pub params: Option<&'a str>,
    /// The raw `result` of a response that is one.
    pub result: Option<&'a str>,
}

/// What a message is, by the members it has.
#[derive(Debug)]
pub enum Kind<'a> {
    /// Has a method and an id.
    Request {
        /// The raw id.
        id: &'a str,
        /// The method, unescaped.
        method: Cow<'a, str>,
    },
    /// Has a method and no id.
    Notification {
        /// The method, unescaped.
        method: Cow<'a, str>,
    },
    /// Has a result or an error.
    Response {
        /// The raw id; absent where the peer could not read the request's.
        id: Option<&'a str>,
        /// Whether it is a result.
        is_result: bool,
    },
}

/// Why bytes are not a message.
#[derive(Debug)]
pub enum EnvelopeError {
    /// Not JSON, or not UTF-8; says where.
    NotJson(String),
    /// JSON, but no JSON-RPC message.
    NotMessage(&'static str),
}

/// What stands in the envelope.
#[derive(Deserialize)]
pub(super) struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absent.
pub(super) fn present<'de: 'a, 'a, D>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error>
where
    D: Deserializer<'de>,
{
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

/// Reads the envelope of one message.
///
/// # Errors
///
/// [`EnvelopeError`] says whether it is not JSON at all or no JSON-RPC message.
pub fn parse(bytes: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
    let source = std::str::from_utf8(bytes).map_err(|error| {
        EnvelopeError::NotJson(format!("not UTF-8 after byte {}", error.valid_up_to()))
    })?;
    if first_byte(bytes) != Some(b'{') {
        serde_json::from_str::<serde::de::IgnoredAny>(source)
            .map_err(|error| EnvelopeError::NotJson(error.to_string()))?;
        return Err(EnvelopeError::NotMessage("a message is a JSON object"));
    }
    let members: Members<'_> =
        serde_json::from_str(source).map_err(|error| match error.is_data() {
            true => EnvelopeError::NotMessage("a member appears twice"),
            false => EnvelopeError::NotJson(error.to_string()),
        })?;
    if members
        .jsonrpc
        .is_none_or(|version| version.get() != "\"2.0\"")
    {
        return Err(EnvelopeError::NotMessage("\"jsonrpc\" has to be \"2.0\""));
    }
    let kind = members.kind()?;
    Ok(Envelope {
        source,
        kind,
        params: members.params.map(RawValue::get),
        result: members.result.map(RawValue::get),
    })
}

impl<'a> Members<'a> {
    fn kind(&self) -> Result<Kind<'a>, EnvelopeError> {
        let id = match self.id.map(RawValue::get) {
            Some("null") if self.method.is_none() => None,
            Some(id) if RequestId::from_raw(id).is_none() => {
                return Err(EnvelopeError::NotMessage("an id is a string or a number"));
            }
            id => id,
        };
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => {
                let method = unquote(method.get())
                    .ok_or(EnvelopeError::NotMessage("a method is a string"))?;
                Ok(match id {
                    Some(id) => Kind::Request { id, method },
                    None => Kind::Notification { method },
                })
            }
            (None, Some(_), None) if id.is_none() => Err(EnvelopeError::NotMessage(
                "a result needs the id of its request",
            )),
            (None, Some(_), None) => Ok(Kind::Response {
                id,
                is_result: true,
            }),
            // A null error is none.
            (None, None, Some(error)) if error.get() != "null" => Ok(Kind::Response {
                id,
                is_result: false,
            }),
            _ => Err(EnvelopeError::NotMessage(
                "a message has a method, a result or an error, and one of them only",
            )),
        }
    }
}

impl Envelope<'_> {
    /// Where a part that was borrowed from this message stands in its bytes.
    pub fn span(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.source.as_ptr() as usize;
        start..start + part.len()
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match &self.kind {
            Kind::Request { method, .. } | Kind::Notification { method } => Some(method),
            Kind::Response { .. } => None,
        }
    }
}

fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

pub(super) fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

/// Whether the bytes look like a batch of messages.
pub fn is_batch(bytes: &[u8]) -> bool {
    first_byte(bytes) == Some(b'[')
}

/// Splits a batch into the bytes of its messages, without copying them.
///
/// # Errors
///
/// [`EnvelopeError::NotJson`] where the array cannot be read.
pub fn batch_items(bytes: &Bytes) -> Result<Vec<Bytes>, EnvelopeError> {
    let source =
        std::str::from_utf8(bytes).map_err(|error| EnvelopeError::NotJson(error.to_string()))?;
    let items: Vec<&RawValue> =
        serde_json::from_str(source).map_err(|error| EnvelopeError::NotJson(error.to_string()))?;
    Ok(items
        .into_iter()
        .map(|item| bytes.slice_ref(item.get().as_bytes()))
        .collect())
}

/// Puts a valid JSON text on one line: a line end in it can only stand between tokens.
///
/// Cost: one scan; copies only where there is a line end.
pub fn single_line(json: Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', &json).is_none() {
        return json;
    }
    let spaced = json.iter().map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    });
    spaced.collect::<Vec<u8>>().into()
}
