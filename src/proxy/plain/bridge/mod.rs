//! Requests where either side speaks h2: read and written by hyper, one way for all four combinations.
//!
//! Promise: what holds for HTTP/1.1 on both sides, by another grammar: frames instead of bytes. Many requests
//! share one connection to an upstream that speaks h2.
//! Cost: some allocations a request.

mod answers;
mod body;
mod channel;
mod fields;
mod forward;
mod place;
mod pulse;
mod reply;
mod requests;
mod rewound;
mod send;
mod serve;
mod sieve;
mod streams;
mod tasks;
mod tries;
mod upload;

pub use channel::Channel;
pub use serve::{Dialect, serve};
