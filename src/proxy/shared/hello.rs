//! What a shared child said to the proxy's `initialize`, and what clients are told of it.
//!
//! Promise: clients are offered only what can be shared: no log level, no resource subscriptions.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::proxy::http::Version;
use crate::proxy::wire::RawId;

/// The child's `InitializeResult`.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The revision that the child speaks.
    pub version: Version,
    result: Value,
}

impl Hello {
    /// Reads the child's answer.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(answer: &[u8]) -> Result<Self, String> {
        let answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        if let Some(error) = answer.get("error") {
            return Err(format!("it refused to initialize: {error}"));
        }
        let mut result = answer.get("result").cloned().unwrap_or_default();
        let named = result
            .get("protocolVersion")
            .and_then(Value::as_str)
            .unwrap_or("none")
            .to_owned();
        let version = Version::parse(&named).ok_or_else(|| {
            format!("it speaks protocol version {named}, which is not spoken here")
        })?;
        if let Some(offers) = result
            .get_mut("capabilities")
            .and_then(Value::as_object_mut)
        {
            offers.remove("logging");
            if let Some(resources) = offers.get_mut("resources").and_then(Value::as_object_mut) {
                resources.remove("subscribe");
            }
        }
        Ok(Self { version, result })
    }

    /// The revision for a client that asks for `wanted`: an older one is a subset of the child's.
    pub fn agree(&self, wanted: Option<Version>) -> Version {
        wanted.map_or(self.version, |wanted| wanted.min(self.version))
    }

    /// The answer to a client's `initialize`.
    pub fn answer(&self, id: &RawId, version: Version) -> Bytes {
        let mut result = self.result.clone();
        if let Some(result) = result.as_object_mut() {
            result.insert(String::from("protocolVersion"), json!(version.as_str()));
        }
        let result = result.to_string();
        [
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            id.as_bytes(),
            b",\"result\":",
            result.as_bytes(),
            b"}",
        ]
        .concat()
        .into()
    }
}
