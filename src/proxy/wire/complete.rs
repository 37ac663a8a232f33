//! What a result of an older revision lacks in the newer one.

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Result {
    #[serde(default, rename = "resultType")]
    kind: Option<IgnoredAny>,
}

/// The members to write right behind the opening brace; `None` where nothing is missing, or it is no object.
pub fn missing_members(result: &str, is_cached: bool) -> Option<String> {
    let inner = result.strip_prefix('{')?;
    let known: Result = serde_json::from_str(result).ok()?;
    if known.kind.is_some() {
        return None;
    }
    // Lists of an older server are as fresh as they are asked for, and whose they are is not known.
    let kept = if is_cached {
        ",\"ttlMs\":0,\"cacheScope\":\"private\""
    } else {
        ""
    };
    let more = if inner.trim_start().starts_with('}') {
        ""
    } else {
        ","
    };
    Some(format!("\"resultType\":\"complete\"{kept}{more}"))
}
