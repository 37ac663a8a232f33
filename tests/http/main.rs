//! The plain HTTP proxy, as its clients and upstreams see it: over real sockets, byte by byte.
#![cfg(all(feature = "proxy", target_os = "linux"))]

mod blame;
mod bodies;
mod command;
mod crowds;
mod downgrade;
mod downgrade_ends;
mod endings;
mod fixture;
mod h2;
mod h2_answers;
mod h2_ends;
mod h2_halts;
mod h2_rolling;
mod h2_streams;
mod h2_stuck;
mod h2_upstreams;
mod heads;
mod hostile;
mod recovery;
mod routes;
mod upgrade;
mod upstreams;
mod waiting;
