//! Models and facts of the engine.

#[cfg(plunge_loom)]
mod commons;
#[cfg(not(plunge_loom))]
mod facts;
#[cfg(all(unix, not(plunge_loom)))]
pub(crate) mod forking;
#[cfg(plunge_loom)]
mod lifecycle;
#[cfg(plunge_loom)]
mod models;
#[cfg(plunge_loom)]
mod overtaking;
#[cfg(all(feature = "keyed", not(plunge_loom)))]
mod permits;
mod stage;
#[cfg(not(plunge_loom))]
mod waking;
#[cfg(plunge_loom)]
mod watching;
