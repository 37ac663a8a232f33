//! The revision that a handshake asks for and agrees on.

use serde::Deserialize;

use super::Version;

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow, default, rename = "protocolVersion")]
    version: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    result: Versioned<'a>,
}

/// The revision that the parameters of an `initialize` ask for.
pub fn wanted_version(params: Option<&str>) -> Option<Version> {
    Version::parse(
        &serde_json::from_str::<Versioned<'_>>(params?)
            .ok()?
            .version?,
    )
}

/// The revision that the answer to an `initialize` agrees on, whether it is spoken here or not.
pub fn answered_revision(answer: &[u8]) -> Option<String> {
    let answered = serde_json::from_slice::<Answered<'_>>(answer).ok()?;
    answered.result.version.map(Into::into)
}
