//! What is at the other end: a child process, or a session with an MCP server over HTTP. Both are spoken
//! to in messages and pooled alike, so that every mode serves both.

mod heard;
mod last_start;
mod none;
#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod peer;
mod sink;
mod source;
mod strays;
mod writer;

pub use heard::Heard;
pub use last_start::LastStart;
pub use none::none_free;
pub use peer::Peer;
pub use sink::{Missed, PeerSink, Stream};
pub use source::PeerSource;
pub use strays::{Stray, Strays};
pub use writer::PeerWriter;
