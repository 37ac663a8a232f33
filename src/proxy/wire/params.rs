//! The few paths of `params` that name another message: progress tokens and cancelled ids.
//!
//! Promise: a name that is spelled with escapes is found too, so that no token slips past the
//! rewriting. Cost: nothing is parsed where the text cannot hold the member.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::present;

/// Whether a request of this method, sent twice, does what it does once; `is_modern`: of the revision without sessions,
/// where anything but a list may be one round of several, which the process that has it knows alone.
pub fn is_repeatable(method: &str, is_modern: bool) -> bool {
    match method {
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "server/discover" => true,
        "ping" | "resources/read" | "prompts/get" | "completion/complete" => !is_modern,
        _ => false,
    }
}

/// The `params` of `notifications/progress`.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The raw token.
    pub token: &'a str,
}

/// The `params` of `notifications/cancelled`.
#[derive(Debug)]
pub struct Cancelled<'a> {
    /// The raw id of the request.
    pub request: &'a str,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default, rename = "_meta", deserialize_with = "present")]
    meta: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "progressToken",
        deserialize_with = "present"
    )]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId", deserialize_with = "present")]
    request: Option<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "io.modelcontextprotocol/subscriptionId",
        deserialize_with = "present"
    )]
    subscription: Option<&'a RawValue>,
}

/// Reads an object; a list would be taken for a struct's fields by position.
fn named(raw: &str) -> Result<Option<Named<'_>>, &'static str> {
    if !raw.starts_with('{') {
        return Ok(None);
    }
    serde_json::from_str(raw)
        .map(Some)
        .map_err(|_| "a member of params appears twice")
}

/// Whether the text may hold the member: its name, or an escape that could spell it.
fn may_hold(raw: &str, name: &[u8]) -> bool {
    memmem::find(raw.as_bytes(), name).is_some() || memmem::find(raw.as_bytes(), b"\\u").is_some()
}

/// The raw progress token that a request asks to be told by.
///
/// # Errors
///
/// The text of the refusal, where the member is ambiguous.
pub fn progress_token(params: Option<&str>) -> Result<Option<&str>, &'static str> {
    let Some(raw) = params.filter(|raw| may_hold(raw, b"progressToken")) else {
        return Ok(None);
    };
    let Some(meta) = named(raw)?.and_then(|outer| outer.meta) else {
        return Ok(None);
    };
    Ok(named(meta.get())?
        .and_then(|inner| inner.token)
        .map(RawValue::get)
        .filter(|token| *token != "null"))
}

/// `_meta` of a request of the revision without sessions as an older server takes it: its text, and what
/// to write instead. The members that make a request of that revision are left out (a server of both
/// kinds refuses them on a connection with a handshake), and the progress token is `token`.
pub fn older_meta<'a>(params: Option<&'a str>, token: &str) -> Option<(&'a str, String)> {
    let meta = named(params?).ok()??.meta?.get();
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(meta).ok()?;
    members.retain(|name, _| !ENVELOPE.contains(&name.as_str()));
    if let Some(place) = members.get_mut("progressToken") {
        *place = RawValue::from_string(token.to_owned()).ok()?;
    }
    Some((meta, serde_json::to_string(&members).ok()?))
}

const ENVELOPE: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];

/// The token of a progress notification.
pub fn progress_of(params: Option<&str>) -> Option<Progress<'_>> {
    let token = named(params?).ok()??.token?.get();
    Some(Progress { token })
}

/// The raw tag of the subscription that a message belongs to, from its `params` or its `result`.
pub fn subscription_of(raw: Option<&str>) -> Option<&str> {
    let raw = raw.filter(|raw| may_hold(raw, b"subscriptionId"))?;
    let meta = named(raw).ok()??.meta?;
    Some(named(meta.get()).ok()??.subscription?.get())
}

/// The id that a cancellation names.
pub fn cancelled_request(params: Option<&str>) -> Option<Cancelled<'_>> {
    let request = named(params?).ok()??.request?.get();
    Some(Cancelled { request })
}

/// The name of the resource that a message is about.
pub fn resource_uri(params: Option<&str>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    }
    let params = params.filter(|raw| raw.starts_with('{'))?;
    let resource: Resource<'_> = serde_json::from_str(params).ok()?;
    Some(resource.uri)
}
