//! The plain HTTP proxy, as its clients and upstreams see it: over real sockets, byte by byte.
#![cfg(all(feature = "proxy", target_os = "linux"))]

mod bodies;
mod endings;
mod fixture;
mod h2;
mod heads;
mod hostile;
mod routes;
mod upgrade;
mod upstreams;
