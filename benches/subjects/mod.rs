//! The subjects that live in this tree: the pool itself and the design it replaces. The pool with
//! meters (`metered.rs`) is not among them: only benches of this package know its feature.
//!
//! Promise: all hold the same objects, opened by a factory that costs nothing.
//! Cost: none.

mod old_design;
mod ours;

pub use old_design::OldDesign;
pub use ours::Ours;
