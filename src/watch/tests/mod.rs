//! Facts and models of the roster.

#[cfg(not(plunge_loom))]
mod facts;
mod kernel;
#[cfg(plunge_loom)]
mod models;
