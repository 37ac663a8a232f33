//! What the demo server answers.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::proxy::http::Version;
use crate::proxy::wire::{self, Code, Fault, Kind, quote};

/// The longest that a call may sleep.
const MAX_SLEEP_MS: u64 = 600_000;

/// The server's state: what `counter` counts.
#[derive(Default)]
pub struct Demo {
    counted: u64,
}

/// What is left to do after a line.
pub enum Outcome {
    /// Nothing.
    Done,
    /// The call with this raw id sleeps.
    Sleep {
        /// The raw id.
        id: String,
        /// For how long.
        ms: u64,
    },
    /// The call with this raw id was cancelled.
    Wake {
        /// The raw id.
        id: String,
    },
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    a: Option<f64>,
    #[serde(default)]
    b: Option<f64>,
    #[serde(default)]
    ms: Option<u64>,
}

#[derive(Deserialize)]
struct Hello<'a> {
    #[serde(borrow, default, rename = "protocolVersion")]
    version: Option<std::borrow::Cow<'a, str>>,
}

impl Demo {
    /// Answers one line into `out`.
    pub fn answer(&mut self, line: &[u8], out: &mut Vec<u8>) -> Outcome {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Outcome::Done;
        }
        let message = match wire::parse(line) {
            Ok(message) => message,
            Err(_) => return refuse(out, "null", Code::NotJson, "this is no JSON-RPC message"),
        };
        match &message.kind {
            Kind::Request { id, method } => self.request(id, method, message.params, out),
            Kind::Notification { method } if method == "notifications/cancelled" => {
                let named = wire::cancelled_request(message.params);
                named.map_or(Outcome::Done, |named| Outcome::Wake {
                    id: named.request.to_owned(),
                })
            }
            _ => Outcome::Done,
        }
    }

    fn request(
        &mut self,
        id: &str,
        method: &str,
        params: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        match method {
            "tools/call" => return self.tool(id, params.unwrap_or("{}"), out),
            "tools/list" => result(out, id, TOOLS),
            "ping" => result(out, id, "{}"),
            "initialize" => result(out, id, &hello(params)),
            _ => return refuse(out, id, Code::NotOffered, "the demo server has tools only"),
        }
        Outcome::Done
    }

    fn tool(&mut self, id: &str, params: &str, out: &mut Vec<u8>) -> Outcome {
        let Ok(call) = serde_json::from_str::<ToolCall<'_>>(params) else {
            return refuse(out, id, Code::BadMessage, "a tool call needs a name");
        };
        let arguments = call.arguments.map_or(Ok(Arguments::default()), |raw| {
            serde_json::from_str(raw.get())
        });
        let Ok(arguments) = arguments else {
            return refuse(
                out,
                id,
                Code::BadMessage,
                "these arguments do not fit the tool",
            );
        };
        match (&*call.name, arguments) {
            (
                "echo",
                Arguments {
                    message: Some(message),
                    ..
                },
            ) if message.get().starts_with('"') => {
                raw_text_result(out, id, message.get());
            }
            (
                "add",
                Arguments {
                    a: Some(a),
                    b: Some(b),
                    ..
                },
            ) => text_result(out, id, &(a + b).to_string()),
            ("sleep", Arguments { ms: Some(ms), .. }) if ms <= MAX_SLEEP_MS => {
                return Outcome::Sleep {
                    id: id.to_owned(),
                    ms,
                };
            }
            ("counter", _) => {
                self.counted += 1;
                text_result(out, id, &self.counted.to_string());
            }
            _ => {
                return refuse(
                    out,
                    id,
                    Code::BadMessage,
                    "no such tool, or arguments that do not fit it",
                );
            }
        }
        Outcome::Done
    }
}

fn hello(params: Option<&str>) -> String {
    let wanted = params.and_then(|params| serde_json::from_str::<Hello<'_>>(params).ok()?.version);
    let version = wanted
        .and_then(|wanted| Version::parse(&wanted))
        .unwrap_or(Version::LATEST);
    format!(
        "{{\"protocolVersion\":\"{}\",\"capabilities\":{{\"tools\":{{}}}},\"serverInfo\":{{\"name\":\"plunge-demo\",\"version\":\"{}\"}}}}",
        version.as_str(),
        env!("CARGO_PKG_VERSION")
    )
}

fn refuse(out: &mut Vec<u8>, id: &str, code: Code, text: &str) -> Outcome {
    out.extend_from_slice(&Fault::new(code, text).to_json(Some(id.as_bytes())));
    out.push(b'\n');
    Outcome::Done
}

fn result(out: &mut Vec<u8>, id: &str, result: &str) {
    for part in [
        "{\"jsonrpc\":\"2.0\",\"id\":",
        id,
        ",\"result\":",
        result,
        "}\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Writes a tool's result of one text.
pub fn text_result(out: &mut Vec<u8>, id: &str, text: &str) {
    raw_text_result(out, id, &quote(text));
}

/// The same with the text as a JSON string.
fn raw_text_result(out: &mut Vec<u8>, id: &str, text: &str) {
    let parts = [
        "{\"jsonrpc\":\"2.0\",\"id\":",
        id,
        ",\"result\":{\"content\":[{\"type\":\"text\",\"text\":",
        text,
        "}]}}\n",
    ];
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

const TOOLS: &str = concat!(
    r#"{"tools":["#,
    r#"{"name":"echo","description":"Returns the message","inputSchema":{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}},"#,
    r#"{"name":"add","description":"Adds two numbers","inputSchema":{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}},"#,
    r#"{"name":"sleep","description":"Answers after some milliseconds","inputSchema":{"type":"object","properties":{"ms":{"type":"integer","minimum":0,"maximum":600000}},"required":["ms"]}},"#,
    r#"{"name":"counter","description":"Counts the calls of this process","inputSchema":{"type":"object","properties":{}}}"#,
    r#"]}"#,
);
