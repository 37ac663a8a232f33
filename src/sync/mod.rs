//! The only door to atomics, locks, queues and cells.
//!
//! Promise: the same names mean the real primitives, or, under `--cfg plunge_loom`, ones that a
//! model checker drives. Everything above this floor is written once.
//! Cost: none; every name is a re-export or an inlined wrapper.

#[cfg(plunge_loom)]
mod modelled;
#[cfg(not(plunge_loom))]
mod process;
#[cfg(not(plunge_loom))]
mod real;
#[cfg(not(plunge_loom))]
mod thread_index;

#[cfg(plunge_loom)]
pub(crate) use modelled::*;
#[cfg(not(plunge_loom))]
pub(crate) use process::PerProcess;
#[cfg(all(unix, not(plunge_loom)))]
pub(crate) use process::{begin_child, forks};
#[cfg(not(plunge_loom))]
pub(crate) use real::*;
#[cfg(not(plunge_loom))]
pub(crate) use thread_index::{known_thread_index, thread_index};
