//! Children that serve everybody: few processes, many requests in flight on each.

mod child;
mod flights;
mod group;
mod handshake;
mod hello;
mod router;
#[cfg(test)]
mod tests;

pub use child::{Request, SharedChild};
pub use flights::Refused;
pub use group::Group;
pub use handshake::Handshaken;
pub use hello::Hello;
pub use router::ChildRouter;
