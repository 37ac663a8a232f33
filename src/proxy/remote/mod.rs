//! An MCP server over HTTP, spoken to as if it were a child: messages in, messages out.
//!
//! | message                          | becomes                                                        |
//! |----------------------------------|----------------------------------------------------------------|
//! | request                          | a POST; its answer, JSON or events, is read in a task of its own |
//! | notification, answer             | a POST that is waited for, so that nothing overtakes it          |
//! | `notifications/initialized`      | the same, and a GET for the session's own stream after it        |
//! | `notifications/cancelled`        | the same, and the end of that request's task; of the revision without sessions the end alone |
//! | the end                          | DELETE                                                         |
//!
//! Where the first `initialize` finds the transport of 2024-11-05 (`single.rs`), a GET comes before it, all are POSTs to
//! where its stream says, answers come on the stream, and the end is that of the stream.
//!
//! Promise: a stream that breaks comes back by the one policy of `transport::sse`, after the last event and
//! without another subscription beside it; a session that the upstream does not know any more is over here,
//! too. Cost: one task a request, one for the session's own stream; a connection for as long as an answer
//! or a stream is read.

mod ask;
mod core;
mod follow;
mod head;
mod outgoing;
#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod remote;
mod single;
mod source;
mod stand;
mod subscription;
#[cfg(test)]
mod tests;

pub use remote::{Remote, RemoteWriter};
pub use source::RemoteSource;
