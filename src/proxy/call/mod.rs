//! A request in flight: what the child's side fills and the client's side waits on.

mod flight;
mod inbox;
#[cfg(test)]
mod tests;

pub use flight::{Answer, Call, Flight, Manner, Owner, Step, fail_all};
pub use inbox::{Inbox, Item};
