//! The lock-free core: which connections are open, who holds them, who waits for one.
//!
//! No runtime, no clock and no user code: those are behind [`Host`], which the pool implements.
//! The only floor that may hold `unsafe`.
#![allow(unsafe_code)]
#![cfg_attr(plunge_loom, allow(dead_code))] // a model needs a part of it

mod body;
mod capacity;
mod commons;
mod control;
mod dial;
#[cfg(all(unix, not(plunge_loom)))]
mod fork;
mod gate;
mod handle;
mod hazard;
mod host;
mod idle;
mod late;
mod lease;
mod line;
mod permit;
#[cfg(not(plunge_loom))]
mod place;
mod put;
mod slot;
mod stack;
mod stay;
mod wait;
mod waiters;
mod wakes;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(plunge_loom)]
pub(crate) use body::Queue;
pub(crate) use body::{Body, Settings};
pub(crate) use commons::Commons;
#[cfg(all(not(plunge_loom), feature = "keyed"))]
pub(crate) use commons::CommonsState;
#[cfg(not(plunge_loom))]
pub(crate) use control::Tenant;
pub(crate) use dial::Ticket;
#[cfg(not(plunge_loom))]
pub(crate) use gate::GateWord;
pub(crate) use handle::Handle;
#[cfg(not(plunge_loom))]
pub(crate) use handle::WeakHandle;
pub use host::Fairness;
pub(crate) use host::Host;
pub use idle::IdleOrder;
#[cfg(not(plunge_loom))]
pub(crate) use late::Late;
pub(crate) use lease::Lease;
#[cfg(not(plunge_loom))]
pub(crate) use permit::Permit;
#[cfg(not(plunge_loom))]
pub(crate) use place::{Caller, Place};
pub(crate) use stay::Stay;
pub(crate) use wait::{Wait, WaitError};
