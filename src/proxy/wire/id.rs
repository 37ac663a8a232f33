//! JSON-RPC ids: the text a client sent, and the value two texts are compared by.
//!
//! Promise: a string and a number never meet (`"1"` is not `1`), and what goes back to a client is
//! byte for byte what it sent. Cost: ids up to 30 bytes are kept inline.

use std::fmt;

const INLINE: usize = 30;

/// An id or a progress token as it was written, quotes included.
#[derive(Clone)]
pub struct RawId(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

impl RawId {
    /// Keeps a copy of the JSON text.
    pub fn new(raw: &str) -> Self {
        let bytes = raw.as_bytes();
        if bytes.len() > INLINE {
            return Self(Repr::Heap(bytes.into()));
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        // At most INLINE, so it fits.
        Self(Repr::Inline(bytes.len() as u8, inline))
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// The value to compare by.
    pub fn value(&self) -> Option<RequestId> {
        RequestId::from_raw(std::str::from_utf8(self.as_bytes()).ok()?)
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What an id means: peers may write the same id in another way (`"a"` and `"\u0061"`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// A whole number.
    Integer(i64),
    /// A string, unescaped.
    Text(Box<str>),
    /// Any other number, by its text.
    Number(Box<str>),
}

impl RequestId {
    /// Reads the JSON text of an id; `None` if it is neither a string nor a number.
    pub fn from_raw(raw: &str) -> Option<Self> {
        match raw.as_bytes().first()? {
            b'"' => Self::text(raw),
            b'-' | b'0'..=b'9' => Some(Self::number(raw)),
            _ => None,
        }
    }

    fn text(raw: &str) -> Option<Self> {
        let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
        if !inner.contains('\\') {
            return Some(Self::Text(inner.into()));
        }
        serde_json::from_str::<String>(raw)
            .ok()
            .map(|text| Self::Text(text.into()))
    }

    fn number(raw: &str) -> Self {
        if let Ok(integer) = raw.parse::<i64>() {
            return Self::Integer(integer);
        }
        // A peer whose numbers are all floats may write 7 as 7.0; beyond 2^53 such a peer has
        // already lost digits, so there the text decides.
        match raw.parse::<f64>() {
            Ok(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
                Self::Integer(float as i64)
            }
            _ => Self::Number(raw.into()),
        }
    }
}
