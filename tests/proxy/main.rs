//! What the proxy promises, shown over real sockets on real child processes.

#![cfg(all(feature = "proxy", target_os = "linux"))]

mod batches;
mod client;
mod command_line;
mod configuration;
mod deaths;
mod endings;
mod eras;
mod exclusive;
mod fixture;
mod floods;
mod forwarded;
mod guards;
mod heads;
mod limits;
mod listening;
mod modern;
mod mortality;
mod old_transport;
mod oneshot;
mod operating;
mod parity;
mod plain_http;
mod program;
mod questions;
mod real_clients;
mod recycling;
mod reloading;
mod remote;
mod remote_streams;
mod remote_trouble;
mod resilience;
mod resuming;
mod sessions;
mod sharing;
mod side_by_side;
mod standard;
mod streams;
mod subscribing;
mod tellers;
mod tls;
mod upstream;
