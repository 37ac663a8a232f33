//! The peers, one file each, with the settings that serve them best.
//!
//! Promise: nothing that a peer can leave out is left in; what it cannot leave out is written at the
//! top of its file.
//! Cost: none.

mod bb8;
mod deadpool;
mod hyper_cache;
mod mobc;
mod opool;
mod pingora;
mod r2d2;
mod sqlx;

pub use bb8::Bb8;
pub use deadpool::Deadpool;
pub use hyper_cache::hyper_cache;
pub use mobc::Mobc;
pub use opool::Opool;
pub use pingora::Pingora;
pub use r2d2::R2d2;
pub use sqlx::Sqlx;
