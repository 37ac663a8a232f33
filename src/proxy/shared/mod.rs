//! Children that serve everybody: few processes, many requests in flight on each.

mod child;
mod flights;
mod group;
mod handshake;
mod hello;
mod router;
#[cfg(test)]
mod tests;

pub use child::Request;
pub use group::Group;
