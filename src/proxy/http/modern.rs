//! The head of a request of revision 2026-07-28, held against its body.
//!
//! Promise: what an intermediary reads in the headers is what the body says, or the request is refused.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::checks::{VERSION, single, unspoken};
use crate::proxy::wire::{self, Code, Envelope, Fault};

/// The revision without sessions.
pub const MODERN: &str = "2026-07-28";

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// Whether the header says that a request is of this revision.
pub fn says_modern(headers: &HeaderMap) -> bool {
    headers
        .get(VERSION)
        .is_some_and(|version| version == MODERN)
}

/// Whether a request is of this revision though its header does not say so: its body does, and no session is named.
/// Then it is refused for its header.
pub fn is_modern(headers: &HeaderMap, body: &[u8]) -> bool {
    !headers.contains_key(super::SESSION)
        && may_name_revision(body)
        && wire::parse(body).is_ok_and(|message| names_revision(&message))
}

/// Whether a message names a revision of its own, where the revision wants it: what a message talks about may
/// hold the same words.
pub fn names_revision(message: &Envelope<'_>) -> bool {
    let params = message
        .params
        .filter(|raw| may_name_revision(raw.as_bytes()));
    let meta = params.and_then(params_of);
    let meta = meta.as_ref().and_then(meta_of);
    meta.is_some_and(|meta| meta.version.is_some())
}

/// A search is cheap; what has the words is read.
fn may_name_revision(text: &[u8]) -> bool {
    memmem::find(text, VERSION_KEY.as_bytes()).is_some()
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    /// Named to be refused where it is there twice.
    #[serde(default, rename = "arguments")]
    _arguments: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
}

/// What each request carries.
struct Carried<'a> {
    version: String,
    /// The tool, prompt or resource.
    named: Option<&'a RawValue>,
}

/// Checks that a request without headers carries what the revision asks for.
///
/// # Errors
///
/// [`Code::BadParams`] where it does not, [`Code::UnsupportedVersion`] where it names another revision.
pub fn check_meta(message: &Envelope<'_>) -> Result<(), Fault> {
    check_version(&carried(message)?)
}

/// The same, with the headers held against it.
///
/// # Errors
///
/// As [`check_meta`], and [`Code::HeaderMismatch`] where a header is missing or says something else.
pub fn check_modern(headers: &HeaderMap, message: &Envelope<'_>) -> Result<(), Fault> {
    let carried = carried(message)?;
    let version = &carried.version;
    agree(headers, &VERSION, "the version in `params._meta`", version)?;
    check_version(&carried)?;
    let method = message.method().unwrap_or_default();
    agree(headers, &METHOD, "the method", method)?;
    match carried.named.and_then(text) {
        Some(name) => agree(headers, &NAME, "the name or URI in `params`", &name),
        None => Ok(()),
    }
}

/// Checks that no header says something else than a notification does.
///
/// # Errors
///
/// [`Code::HeaderMismatch`].
pub fn check_notification(headers: &HeaderMap, method: &str) -> Result<(), Fault> {
    match headers.contains_key(METHOD) {
        true => agree(headers, &METHOD, "the method", method),
        false => Ok(()), // it is passed on to nobody
    }
}

/// The headers that say what the body of a message says, for an upstream.
pub fn mirrored(message: &Envelope<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let method = message.method().unwrap_or_default();
    let named = carried(message).ok().and_then(|carried| carried.named);
    let name = named.and_then(text);
    let both = [(METHOD, Some(method.to_owned())), (NAME, name)];
    let written = both
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(&encode(&value?)).ok()?)));
    written.collect()
}

fn check_version(carried: &Carried<'_>) -> Result<(), Fault> {
    match carried.version == MODERN {
        true => Ok(()),
        false => Err(unspoken("`params._meta`")),
    }
}

fn carried<'a>(message: &Envelope<'a>) -> Result<Carried<'a>, Fault> {
    let params = message.params.and_then(params_of);
    let meta = params.as_ref().and_then(meta_of);
    let (version, capabilities) =
        meta.map_or((None, None), |meta| (meta.version, meta.capabilities));
    let Some(version) = version.and_then(text) else {
        return Err(missing(VERSION_KEY));
    };
    if capabilities.is_none_or(|raw| !raw.get().starts_with('{')) {
        return Err(missing(CAPABILITIES_KEY));
    }
    let named = params.and_then(|params| match message.method().unwrap_or_default() {
        "tools/call" | "prompts/get" => params.name,
        "resources/read" => params.uri,
        _ => None,
    });
    Ok(Carried { version, named })
}

/// Reads an object; a list would be taken for a struct's fields by position.
fn params_of(raw: &str) -> Option<Params<'_>> {
    let raw = Some(raw).filter(|raw| raw.starts_with('{'))?;
    serde_json::from_str(raw).ok()
}

fn meta_of<'a>(params: &Params<'a>) -> Option<Meta<'a>> {
    let meta = params.meta?.get();
    let meta = Some(meta).filter(|raw| raw.starts_with('{'))?;
    serde_json::from_str(meta).ok()
}

fn missing(key: &str) -> Fault {
    let text = format!("`params._meta` needs `{key}` in a request of protocol version {MODERN}");
    Fault::new(Code::BadParams, text)
}

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn agree(headers: &HeaderMap, name: &HeaderName, what: &str, said: &str) -> Result<(), Fault> {
    let mismatch = |text: String| Fault::new(Code::HeaderMismatch, text);
    let value = single(headers, name).map_err(|fault| mismatch(fault.message))?;
    let Some(value) = value else {
        return Err(mismatch(format!(
            "the header `{name}` is missing; send {what} in it"
        )));
    };
    if value.to_str().ok().and_then(decode).as_deref() == Some(said) {
        return Ok(());
    }
    Err(mismatch(format!(
        "the header `{name}` is not {what} of the body"
    )))
}

/// The value of a header that may be wrapped (`=?base64?...?=`); `None` if the wrapping is broken.
pub(super) fn decode(value: &str) -> Option<String> {
    let Some(packed) = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(value.to_owned());
    };
    String::from_utf8(base64(packed)?).ok()
}

/// The value as a header takes it.
pub(super) fn encode(value: &str) -> String {
    let is_plain = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if is_plain && value.trim() == value && !value.starts_with("=?base64?") {
        return value.to_owned();
    }
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut packed = String::from("=?base64?");
    for three in value.as_bytes().chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| {
            word << 8 | three.get(at).copied().map_or(0, u32::from)
        });
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            packed.push(if at <= three.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    packed + "?="
}

/// Decodes canonical base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    if !bytes.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in &bytes[..bytes.len() - padding] {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (word, bits) = (word << 6 | u32::from(digit), bits + 6);
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    // Left-over bits that are set would be another spelling of the same bytes.
    (word == 0).then_some(out)
}
