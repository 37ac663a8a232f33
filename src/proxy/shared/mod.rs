//! Children that serve everybody: few processes, many requests in flight on each.

mod affinity;
#[cfg(test)]
mod affinity_tests;
mod asking;
mod child;
#[cfg(test)]
mod child_tests;
mod counted;
mod era;
mod errand;
mod flights;
#[cfg(test)]
mod flights_tests;
mod group;
#[cfg(test)]
mod group_tests;
mod handshake;
mod hello;
#[cfg(test)]
mod hello_tests;
mod pulse;
mod questions;
mod ready;
mod renewal;
mod resources;
mod router;
#[cfg(test)]
mod router_tests;
mod starting;
mod subscription;
#[cfg(test)]
mod tests;
mod waiting;
mod wear;

pub use affinity::Affinity;
pub use child::{Request, SharedChild};
pub use era::{EraMemory, Wanted};
pub use flights::Refused;
pub use group::{Group, at_limit};
pub use handshake::Handshaken;
pub use hello::Hello;
pub use pulse::Pulse;
pub use router::ChildRouter;
pub use waiting::Waiting;
