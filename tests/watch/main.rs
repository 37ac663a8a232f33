//! The watch on idle connections, on real sockets.
//!
//! Waits are for events or for a condition with a bound; no test asserts how long anything took.
#![cfg(all(feature = "watch", unix))]
// Held for the whole of a test, each of which has a runtime and a thread of its own.
#![allow(clippy::await_holding_lock)]

mod deaths;
mod restart;
mod server;
mod thread;
mod tls;
mod wrapped;
