//! What the proxy promises, shown over real sockets on real child processes.

#![cfg(all(feature = "proxy", target_os = "linux"))]

mod batches;
mod cancelling;
mod client;
mod command_line;
mod configuration;
mod deaths;
mod endings;
mod exclusive;
mod fixture;
mod floods;
mod guards;
mod heads;
mod limits;
mod listening;
mod modern;
mod mortality;
mod oneshot;
mod operating;
mod parity;
mod plain_http;
mod questions;
mod readiness;
mod real_clients;
mod recycling;
mod reloading;
mod remote;
mod resilience;
mod resuming;
mod sessions;
mod sharing;
mod side_by_side;
mod standard;
mod starts;
mod streams;
mod subscribing;
mod tls;
mod untold;
mod upstream;
