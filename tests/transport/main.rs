//! What the transports promise, shown on real processes.

#![cfg(all(feature = "subprocess", target_os = "linux"))]

mod death;
mod guardian;
mod launcher;
mod noise;
mod pooled;
mod requests;
mod retirement;
mod sinks;
mod spawning;
mod support;
mod writing;
