//! What stands before the upstreams: which request goes to which, and what is counted of each.

#[allow(clippy::module_inception)] // One file, one noun; this is the folder's.
mod front;
mod place;
mod reach;
mod reload;
mod serve;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod web;

pub use front::{Front, Phase};
pub use place::Place;
pub use reach::{Reach, watch as watch_reach};
pub use reload::Reloaded;
pub use serve::serve;
pub use table::{Found, Table};
pub use web::{Web, plain, ready as web_ready};
