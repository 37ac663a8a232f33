//! The peers, one file each, with the settings that serve them best.
//!
//! Promise: nothing that a peer can leave out is left in.
//! Cost: none.

mod bb8;
mod deadpool;
mod mobc;

pub use bb8::Bb8;
pub use deadpool::Deadpool;
pub use mobc::Mobc;
