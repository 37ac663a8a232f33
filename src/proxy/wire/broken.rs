//! An answer that is none: a line of a server that cannot be passed on, and yet names the request it was meant for.
//!
//! Promise: a request of the server's own, with nothing that an answer says, is nobody's answer, nor is what names two
//! requests.
//! Cost: a second pass over the line; it is paid for lines alone that are no message.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Code, EnvelopeError, Fault, RequestId};

/// The request that a line was meant to answer, and what its client is told.
pub fn broken_answer(line: &[u8], error: &EnvelopeError) -> Option<(RequestId, Fault)> {
    let EnvelopeError::NotMessage(reason) = error else {
        return None;
    };
    let members: Members<'_> = serde_json::from_slice(line).ok()?;
    let is_question = members.has_method && !members.is_answer;
    let id = members.id.filter(|_| !is_question && !members.is_unsure)?;
    let text = format!("the server's answer cannot be read: {reason}; mend the server");
    let fault = Fault::new(Code::UpstreamFailed, text);
    Some((RequestId::from_raw(id.get())?, fault))
}

/// What is read of an object whose members may appear more than once.
#[derive(Default)]
struct Members<'a> {
    id: Option<&'a RawValue>,
    /// It has ids that are not the same.
    is_unsure: bool,
    has_method: bool,
    /// It has a result or an error that says something.
    is_answer: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<Cow<'_, str>, &RawValue>()? {
                    match &*name {
                        "id" => {
                            let earlier = members.id.replace(value);
                            let is_other = |earlier: &RawValue| earlier.get() != value.get();
                            members.is_unsure |= earlier.is_some_and(is_other);
                        }
                        "method" => members.has_method = true,
                        "result" | "error" => members.is_answer |= value.get() != "null",
                        _ => {}
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
