//! The subjects that live in this tree: the pool itself and the design it replaces. (`metered.rs` is
//! taken in by the benches that have the feature `metrics`.)
//!
//! Promise: both hold the same objects, opened by a factory that costs nothing.
//! Cost: none.

mod old_design;
mod ours;

pub use old_design::OldDesign;
pub use ours::Ours;
