//! HTTP as the endpoint uses it: header checks, bodies with limits, replies, event streams.

mod agree;
mod body;
mod checks;
mod modern;
mod pages;
mod read;
mod reply;
mod sse;
#[cfg(test)]
mod tests;
mod tool_headers;

pub use agree::{answered_revision, wanted_version};
pub use body::ReplyBody;
pub use checks::{
    Accepts, HostPolicy, SESSION, Version, accepts, check_json, last_event, session_id, version,
};
pub use modern::{
    MODERN, check_meta, check_modern, check_notification, is_modern, mirrored, names_revision,
    says_modern,
};
pub use pages::Page;
pub use read::read_body;
pub use reply::{Reply, accepted, done, fault, json, json_with, stream};
pub use sse::{EventStream, SessionStream, Source};
pub use tool_headers::{ToolHeaders, WRITTEN, written};
