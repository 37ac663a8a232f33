//! What a shared child said to the proxy's first question, and what clients are told of it.
//!
//! Promise: clients are offered only what can be shared: no log level, and resource subscriptions only where they
//! are kept apart.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::proxy::http::{MODERN, Version};
use crate::proxy::wire::subscription::LISTS;
use crate::proxy::wire::{Changes, Code, Fault, RawId};

/// The errors that only the revision without sessions knows.
const REFUSALS: std::ops::RangeInclusive<i64> = -32022..=-32020;

/// The child's `InitializeResult`, or its `DiscoverResult`.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Whether it speaks the revision without sessions.
    pub is_modern: bool,
    /// The revision that the handshake agreed on.
    pub version: Version,
    /// Whether it tells of changes of resources.
    subscribes: bool,
    result: Value,
}

impl Hello {
    /// Reads the child's answer to `initialize`.
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
        let mut subscribes = false;
        if let Some(offers) = result
            .get_mut("capabilities")
            .and_then(Value::as_object_mut)
        {
            offers.remove("logging");
            if let Some(resources) = offers.get_mut("resources").and_then(Value::as_object_mut) {
                subscribes = resources.remove("subscribe") == Some(Value::Bool(true));
            }
        }
        Ok(Self {
            is_modern: false,
            version,
            subscribes,
            result,
        })
    }

    /// Reads the child's answer to `server/discover`; `None` if it does not speak that revision.
    pub fn discovered(answer: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let result = answer.get("result")?.clone();
        let versions = result.get("supportedVersions")?.as_array()?;
        versions
            .iter()
            .any(|version| version == MODERN)
            .then_some(Self {
                is_modern: true,
                version: Version::LATEST,
                subscribes: false,
                result,
            })
    }

    /// Why a server that speaks the revision without sessions does not say what it is; `None` where that is not what it
    /// answered to `server/discover`. One that lists a revision with a handshake can be asked for that.
    pub fn refusal(answer: &[u8]) -> Option<String> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let error = answer.get("error")?;
        let is_modern = REFUSALS.contains(&error["code"].as_i64()?);
        let is_older = names_older(&error["data"]["supported"]);
        (is_modern && !is_older).then(|| error.to_string())
    }

    /// Whether it has tools.
    pub fn offers_tools(&self) -> bool {
        self.result.pointer("/capabilities/tools").is_some()
    }

    /// The lists of whose changes it tells.
    pub fn lists(&self) -> Changes {
        let methods = LISTS.iter().map(|(_, method)| *method);
        let tells = |method: &&str| {
            let list = method.split('/').nth(1).unwrap_or_default();
            self.result["capabilities"][list]["listChanged"] == true
        };
        let lists = methods.filter(tells).map(Changes::of);
        lists.fold(Changes::default(), |all, list| all | list)
    }

    /// Whether a server that was asked for the revision without sessions speaks one with a handshake, too.
    pub fn knows_older(&self) -> bool {
        names_older(&self.result["supportedVersions"])
    }

    /// The revision for a client that asks for `wanted`: an older one is a subset of the child's.
    pub fn agree(&self, wanted: Option<Version>) -> Version {
        wanted.map_or(self.version, |wanted| wanted.min(self.version))
    }

    /// Whether a handshake agreed on this revision with it.
    pub fn speaks(&self, version: Version) -> bool {
        !self.is_modern && self.version == version
    }

    /// The answer to a client's `initialize`; `subscribes`: it may subscribe to resources, where the child tells
    /// of those.
    ///
    /// # Errors
    ///
    /// [`Code::UnsupportedVersion`] where the child knows no handshake.
    pub fn answer(&self, id: &RawId, version: Version, subscribes: bool) -> Result<Bytes, Fault> {
        if self.is_modern {
            let text =
                format!("the server behind this proxy speaks protocol version {MODERN} only");
            return Err(Fault {
                supported: &[MODERN],
                ..Fault::new(Code::UnsupportedVersion, text)
            });
        }
        let mut result = self.result.clone();
        if let Some(result) = result.as_object_mut() {
            result.insert(String::from("protocolVersion"), json!(version.as_str()));
        }
        if subscribes && self.subscribes {
            result["capabilities"]["resources"]["subscribe"] = Value::Bool(true);
        }
        Ok(response(id, &result))
    }

    /// The answer to a client's `server/discover` on behalf of a child that knows a handshake only.
    pub fn discover(&self, id: &RawId) -> Bytes {
        let older = Version::ALL
            .iter()
            .rev()
            .filter(|version| **version <= self.version);
        let versions: Vec<&str> = [MODERN]
            .into_iter()
            .chain(older.map(|version| version.as_str()))
            .collect();
        let mut result = json!({
            "supportedVersions": versions,
            "capabilities": self.result.get("capabilities").cloned().unwrap_or_else(|| json!({})),
            "resultType": "complete",
            "ttlMs": 0,
            "cacheScope": "private",
        });
        if let Some(instructions) = self.result.get("instructions") {
            result["instructions"] = instructions.clone();
        }
        if let Some(server) = self.result.get("serverInfo") {
            result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": server});
        }
        response(id, &result)
    }
}

/// Whether one of these versions has a handshake.
fn names_older(versions: &Value) -> bool {
    let versions = versions.as_array().into_iter().flatten();
    let mut versions = versions.filter_map(Value::as_str);
    versions.any(|version| Version::parse(version).is_some())
}

fn response(id: &RawId, result: &Value) -> Bytes {
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
