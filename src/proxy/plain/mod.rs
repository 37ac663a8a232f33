//! The plain HTTP reverse proxy: several upstreams by host or path prefix, HTTP/1.1 and h2 in front and
//! behind.
//!
//! Promise: a request is read by one strict grammar and written anew, so that nobody behind reads it in
//! another way; bodies are passed on as they come, a buffer at a time, and never collected; a connection
//! whose exchange did not end in order is never used again.
//! Cost: each worker is a thread with a runtime of its own, and a connection stays on its thread. A small
//! request on kept connections is two reads and two writes; the rest is some 1.5 µs.
//!
//! [`Gateway::start`] runs one from [`GatewayOptions`]; [`Gateway::replace`] changes its routes under load.

mod access;
mod body;
mod bridge;
mod chunks;
mod client;
mod connection;
mod cores;
mod counts;
mod deadline;
mod dial;
mod exchange;
mod gateway;
mod head;
mod lanes;
mod leasing;
mod meter;
mod moves;
mod note;
mod options;
mod refusal;
mod relay;
mod seats;
mod shared;
mod sharing;
mod table;
mod upgrade;
mod wire;
mod worker;

pub use counts::{GatewayStats, UpstreamStats};
pub use gateway::{Gateway, GatewayError, GatewayReport, GatewayView};
pub(in crate::proxy) use head::checked_host;
pub use lanes::AddressStats;
pub use meter::AnswerStats;
pub use options::{GatewayOptions, HeadLimits, HostHeader, RouteOptions, UpstreamOptions};
pub(in crate::proxy) use options::{OWN, check_routes, is_own, is_same};
pub(in crate::proxy) use table::bare as bare_host;
