//! Answer: what an MCP server that only echoes says to a message.
//!
//! Promise: the id comes back as it was written, and the text of an `echo` too; a notification and a
//! line that is no message get no answer.
//! Cost: one pass over the message, one write into the caller's buffer.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// Appends the answer to a message; whether there was one to give.
pub fn answer(message: &[u8], to: &mut Vec<u8>) -> bool {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
        return false;
    };
    let (Some(id), Some(method)) = (message.id, message.method) else {
        return false;
    };
    to.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    to.extend_from_slice(id.get().as_bytes());
    let raw = |value: Option<&RawValue>, default: &str| {
        value.map_or_else(|| default.to_owned(), |value| value.get().to_owned())
    };
    match method {
        "initialize" => {
            let version = message.params.and_then(|params| params.version);
            to.extend_from_slice(br#","result":{"protocolVersion":"#);
            to.extend_from_slice(raw(version, "\"2025-11-25\"").as_bytes());
            to.extend_from_slice(
                br#","capabilities":{"tools":{}},"serverInfo":{"name":"upstream","version":"1"}}}"#,
            );
        }
        "tools/call" => {
            let arguments = message.params.and_then(|params| params.arguments);
            let text = arguments.and_then(|arguments| arguments.message);
            to.extend_from_slice(br#","result":{"content":[{"type":"text","text":"#);
            to.extend_from_slice(raw(text, "\"\"").as_bytes());
            to.extend_from_slice(b"}]}}");
        }
        _ => to.extend_from_slice(br#","result":{}}"#),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Option<String> {
        let mut to = Vec::new();
        let answered = answer(message.as_bytes(), &mut to);
        answered.then(|| String::from_utf8(to).unwrap())
    }

    #[test]
    fn an_id_and_a_text_come_back_as_they_were_written() {
        let call = r#"{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"echo","arguments":{"message":"a\u00e9"}}}"#;
        let expected =
            r#"{"jsonrpc":"2.0","id":"1","result":{"content":[{"type":"text","text":"a\u00e9"}]}}"#;
        assert_eq!(said(call).as_deref(), Some(expected));
    }

    #[test]
    fn notifications_and_noise_are_not_answered() {
        assert_eq!(
            said(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            None
        );
        assert_eq!(said("plain words"), None);
        assert_eq!(said("[1,2]"), None);
    }

    #[test]
    fn the_version_that_was_asked_for_is_the_one_that_is_spoken() {
        let text =
            said(r#"{"id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#);
        assert!(text.unwrap().contains(r#""protocolVersion":"2025-06-18""#));
    }
}
