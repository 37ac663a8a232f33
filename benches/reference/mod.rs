//! The reference: the pool design that this crate replaces, kept in the tree to be measured beside it.
//!
//! Promise: an honest, tuned form of the old design, so that a ratio to it says something.
//! Cost: what is measured; nothing here is published.

mod legacy;

pub use legacy::{LegacyGuard, LegacyPool};
