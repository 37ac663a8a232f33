//! A child for each request: leased for it alone, and returned or ended after it.

mod busy;
mod exclusive;
mod hellos;
mod kinds;
mod oneshot;
mod roster;

pub use exclusive::Exclusive;
pub use oneshot::Oneshot;
