//! The subjects that live in this tree: the pool itself, alone and with meters, and the design it
//! replaces.
//!
//! Promise: all hold the same objects, opened by a factory that costs nothing.
//! Cost: none.

// Plays in some benches only.
#[cfg(feature = "metrics")]
#[allow(dead_code)]
mod metered;
mod old_design;
mod ours;

#[cfg(feature = "metrics")]
#[allow(unused_imports)]
pub use metered::Metered;
pub use old_design::OldDesign;
pub use ours::Ours;
