//! Arguments of tools that their schema wants to see in the head, as `Mcp-Param-*`.
//!
//! Promise: where a tool is known from a list that passed by, a head that says something else than the
//! body is refused; and an upstream gets the heads that it asked for. Heads that no schema is known to name go on to
//! it as they came. An annotation that the revision does not allow is not enforced. Cost: one search for a word in each list; a look at a table for each call of
//! a tool, once any tool asks for it.

use std::collections::HashMap;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::checks::single;
use super::modern::{decode, encode};
use crate::proxy::wire::{Code, Envelope, Fault};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};

const WORD: &str = "x-mcp-header";
const PREFIX: &str = "mcp-param-";
/// Tools that are kept; of more nothing is known.
const MAX_TOOLS: usize = 10_000;
/// How deep a schema is looked into.
const MAX_DEPTH: usize = 16;

tokio::task_local! {
    /// Those that the client of the request wrote which this task serves, if it wrote any.
    pub static WRITTEN: HeaderMap;
}

/// What a client wrote of them, if it wrote any.
pub fn written(headers: &HeaderMap) -> Option<HeaderMap> {
    let is_one = |name: &HeaderName| name.as_str().starts_with(PREFIX);
    if !headers.keys().any(is_one) {
        return None;
    }
    let all = headers.iter().filter(|(name, _)| is_one(name));
    let mut written = HeaderMap::new();
    for (name, value) in all {
        written.append(name.clone(), value.clone());
    }
    Some(written)
}

/// What the lists of tools said.
#[derive(Default)]
pub struct ToolHeaders {
    any: AtomicBool,
    tools: Mutex<HashMap<String, Arc<[Declared]>>>,
}

/// An argument that goes into the head.
#[derive(Debug)]
struct Declared {
    header: HeaderName,
    path: Vec<String>,
    is_integer: bool,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    tools: Vec<Value>,
}

#[derive(Deserialize)]
struct Called<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl ToolHeaders {
    /// Keeps what a result says of tools, if it is a list of them.
    pub fn note(&self, result: &str) {
        // Relaxed: the table has a lock of its own; a list that passes meanwhile is seen the next time.
        let known = self.any.load(Ordering::Relaxed);
        if !known && memmem::find(result.as_bytes(), WORD.as_bytes()).is_none() {
            return;
        }
        let Ok(listed) = serde_json::from_str::<Listed>(result) else {
            return;
        };
        let mut tools = self.tools.lock();
        for tool in &listed.tools {
            let Some(name) = tool["name"].as_str() else {
                continue;
            };
            let declared = declared(&tool["inputSchema"]);
            if declared.is_empty() {
                tools.remove(name);
            } else if tools.len() < MAX_TOOLS {
                tools.insert(name.to_owned(), declared.into());
            }
        }
        // Relaxed: see above.
        self.any.store(!tools.is_empty(), Ordering::Relaxed);
    }

    /// Holds the head of a call against its arguments.
    ///
    /// # Errors
    ///
    /// [`Code::HeaderMismatch`].
    pub fn check(&self, headers: &HeaderMap, message: &Envelope<'_>) -> Result<(), Fault> {
        let Some((declared, arguments)) = self.of(message) else {
            return Ok(());
        };
        for declared in declared.iter() {
            let name = &declared.header;
            let mismatch = |text| Fault::new(Code::HeaderMismatch, text);
            let head = single(headers, name).map_err(|fault| mismatch(fault.message))?;
            let argument = declared.path.join(".");
            match (head, declared.value_in(&arguments)) {
                (None, None) => {}
                (Some(_), None) => {
                    let text = format!(
                        "the header `{name}` stands for the argument `{argument}`, which is not there"
                    );
                    return Err(mismatch(text));
                }
                (None, Some(_)) => {
                    let text = format!(
                        "the header `{name}` is missing; send the argument `{argument}` in it"
                    );
                    return Err(mismatch(text));
                }
                (Some(head), Some(value)) => {
                    let head = head.to_str().ok().and_then(decode);
                    if !head.is_some_and(|head| declared.agrees(&head, &value)) {
                        let text = format!(
                            "the header `{name}` is not the argument `{argument}` of the body"
                        );
                        return Err(mismatch(text));
                    }
                }
            }
        }
        Ok(())
    }

    /// What goes into the head of a call: what its tool is known to ask for, and what else the client wrote.
    pub fn mirrored(&self, message: &Envelope<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let (declared, arguments) = self.of(message).unwrap_or_default();
        let asked_for = declared.iter().filter_map(|declared| {
            let value = declared.value_in(&arguments)?;
            let value = HeaderValue::from_str(&encode(&value)).ok()?;
            Some((declared.header.clone(), value))
        });
        let mut heads: Vec<_> = asked_for.collect();
        let is_known = |name: &HeaderName| declared.iter().any(|known| known.header == *name);
        let _ = WRITTEN.try_with(|written| {
            let others = written.iter().filter(|(name, _)| !is_known(name));
            heads.extend(others.map(|(name, value)| (name.clone(), value.clone())));
        });
        heads
    }

    /// What the tool that a message calls asks for, and the arguments.
    fn of(&self, message: &Envelope<'_>) -> Option<(Arc<[Declared]>, Value)> {
        // Relaxed: see `note`.
        if !self.any.load(Ordering::Relaxed) || message.method() != Some("tools/call") {
            return None;
        }
        let params = message.params.filter(|raw| raw.starts_with('{'))?;
        let called: Called<'_> = serde_json::from_str(params).ok()?;
        let declared = self.tools.lock().get(&called.name).cloned()?;
        let arguments = called.arguments.map(|raw| serde_json::from_str(raw.get()));
        Some((declared, arguments.and_then(Result::ok).unwrap_or_default()))
    }
}

impl Declared {
    /// The argument as text; `None` if it is absent, null, or nothing that a head could say.
    fn value_in(&self, arguments: &Value) -> Option<String> {
        let found = self
            .path
            .iter()
            .try_fold(arguments, |value, name| value.get(name))?;
        match found {
            Value::String(text) => Some(text.clone()),
            Value::Bool(is_so) => Some(is_so.to_string()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn agrees(&self, head: &str, value: &str) -> bool {
        // 42 and 42.0 are the same number; where digits may be lost the text decides.
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.abs() < 9e15);
        head == value
            || self.is_integer && number(head).is_some_and(|head: f64| number(value) == Some(head))
    }
}

/// The annotations of a schema along `properties`; none at all if one of them is not allowed.
fn declared(schema: &Value) -> Vec<Declared> {
    let mut found = Vec::new();
    if collect(schema, &mut Vec::new(), &mut found).is_none() {
        return Vec::new();
    }
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Declared>) -> Option<()> {
    let Some(properties) = schema["properties"].as_object() else {
        return Some(());
    };
    if path.len() >= MAX_DEPTH {
        return None;
    }
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(annotation) = property.get(WORD) {
            let named = annotation.as_str().filter(|named| !named.is_empty())?;
            let header = HeaderName::try_from(format!("{PREFIX}{named}")).ok()?;
            let kind = property["type"].as_str()?;
            let twice = found.iter().any(|other| other.header == header);
            if twice || !matches!(kind, "string" | "integer" | "boolean") {
                return None;
            }
            found.push(Declared {
                header,
                path: path.clone(),
                is_integer: kind == "integer",
            });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Some(())
}
