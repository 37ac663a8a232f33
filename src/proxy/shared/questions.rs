//! What the proxy itself asks a child at its start.

use bytes::Bytes;
use serde::Deserialize;

use crate::proxy::http::{MODERN, Version};
use crate::proxy::wire::quote;

/// Pages of a list of tools that are read.
pub const MAX_PAGES: usize = 20;

/// What follows a handshake.
pub const INITIALIZED: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

/// The first question of revisions with a handshake.
pub fn initialize(id: u64, version: Version) -> Bytes {
    let (version, own) = (version.as_str(), env!("CARGO_PKG_VERSION"));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{version}\",\
         \"capabilities\":{{}},\"clientInfo\":{{\"name\":\"plunge\",\"version\":\"{own}\"}}}}}}"
    )
    .into()
}

/// That of the revision without sessions.
pub fn discover(id: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"server/discover\",\"params\":{{{}}}}}",
        meta()
    )
    .into()
}

/// Asks for a page of the tools.
pub fn list_tools(id: u64, cursor: Option<&str>) -> Bytes {
    let cursor = cursor.map_or_else(String::new, |cursor| {
        format!("\"cursor\":{},", quote(cursor))
    });
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/list\",\"params\":{{{cursor}{}}}}}",
        meta()
    )
    .into()
}

#[derive(Deserialize)]
struct Paged {
    #[serde(default, rename = "nextCursor")]
    next: Option<String>,
}

/// Where the page behind this one begins.
pub fn next_cursor(result: &str) -> Option<String> {
    serde_json::from_str::<Paged>(result).ok()?.next
}

/// What each request of the revision without sessions carries.
fn meta() -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{MODERN}\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}},\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"plunge\",\"version\":\"{own}\"}}}}"
    )
}
