//! Models and facts of the engine.

#[cfg(plunge_loom)]
mod commons;
#[cfg(not(plunge_loom))]
mod facts;
#[cfg(plunge_loom)]
mod lifecycle;
#[cfg(plunge_loom)]
mod models;
mod stage;
#[cfg(plunge_loom)]
mod watching;
