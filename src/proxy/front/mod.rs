//! What stands before the upstreams: which request goes to which, and what is counted of each.

mod front;
mod place;
mod serve;
mod table;
#[cfg(test)]
mod tests;

pub use front::Front;
pub use place::Place;
pub use serve::serve;
pub use table::{Found, Table};
