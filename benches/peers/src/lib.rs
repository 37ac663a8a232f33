//! Peers: other pools as subjects of the benchmark cases, beside ours and beside the floors.
//!
//! Promise: each peer has the settings that serve it best (see its file). Features of this member
//! never reach the published package.
//! Cost: none; who plays them pays.

#[path = "../../harness/mod.rs"]
pub mod harness;
mod peers;
#[path = "../../reference/mod.rs"]
mod reference;
mod roster;
#[path = "../../subjects/mod.rs"]
mod subjects;

pub use roster::{BARS, roster, versions};
