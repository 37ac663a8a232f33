//! Facts and models of the roster.

#[cfg(not(plunge_loom))]
mod facts;
#[cfg(not(plunge_loom))]
mod forks;
mod kernel;
#[cfg(plunge_loom)]
mod models;
